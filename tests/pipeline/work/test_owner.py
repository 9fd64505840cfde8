"""How the owner handles outcomes, lost claims, and stopping."""

import json
import threading
from collections.abc import Callable

import pytest

from pipeline.engines.base import Died, Outcome, Task
from pipeline.errors import ClaimLostError, EngineLostError, StoreError, UnavailableError
from pipeline.events.listener import Failed, ManifestEnded, ManifestLeft, PairDone
from pipeline.inbox.inbox import Inbox
from tests.pipeline.work.conftest import Shop

Make = Callable[..., Shop]
LIMIT = 10**6


def errors_of(runner: Shop, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = json.loads(runner.inbox.read(f"failed/{name}.error.json", LIMIT))["errors"]
    return found


def test_the_record_is_written_last_of_a_pair_and_the_page_last_of_a_manifest(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 2)
    runner.work()
    written = [key for verb, key in runner.outbox.calls if verb == "write" and "thumbs" not in key]
    names = [f"m/{pair}.{end}" for pair in ("p0", "p1") for end in ("loss.jsonl", "png", "json")]
    assert written == [*names, "m/index.html"]
    assert runner.manifests("done") == ["m.json"]


def test_pairs_are_computed_again_only_if_an_input_has_changed(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 2)
    runner.work()
    runner.inbox.move("done/m.json", "m.json")
    again = shop(at=runner)
    again.work()
    assert [event.computed for event in again.listener.of(PairDone)] == [False, False]
    runner.inbox.move("done/m.json", "m.json")
    runner.inbox.write("a.png", b"another image")
    third = shop(at=runner)
    third.work()
    assert [event.computed for event in third.listener.of(PairDone)] == [True, True]


def test_a_manifest_with_a_failed_pair_fails_after_its_other_pairs_are_done(shop: Make) -> None:
    def fail(task: Task) -> None:
        if task.pair.id == "p1":
            raise StoreError("a.png: is bad")

    runner = shop(before=fail)
    runner.drop("m", 3)
    runner.work()
    assert errors_of(runner, "m") == [{"place": "pairs[1]", "message": "a.png: is bad", "id": "p1"}]
    assert runner.owner.problems == 1
    assert [event.record.id for event in runner.listener.of(PairDone)] == ["p0", "p2"]


def test_a_pair_is_retried_alone_after_the_engine_died_with_it(shop: Make) -> None:
    def die(task: Task) -> Outcome | None:
        return Died(task, "the node is gone") if task.pair.id == "p0" and not task.alone else None

    runner = shop(before=die)
    runner.drop("m", 2)
    runner.work()
    assert runner.manifests("done") == ["m.json"]
    assert [task.pair.id for task in runner.engine.tasks if task.alone] == ["p0"]


def test_a_pair_fails_after_three_engines_died_with_it(shop: Make) -> None:
    def die(task: Task) -> Outcome | None:
        return Died(task, "the node is gone") if task.pair.id == "p0" else None

    runner = shop(before=die)
    runner.drop("m", 2)
    runner.work()
    (error,) = errors_of(runner, "m")
    assert error["id"] == "p0"
    assert error["message"].startswith("3 engines in a row have died with it (the node is gone)")
    assert [event.record.id for event in runner.listener.of(PairDone)] == ["p1"]


def test_a_lost_engine_counts_as_a_death_only_for_the_manifest_of_its_task(shop: Make) -> None:
    def lose(task: Task) -> None:
        if task.manifest == "bad":
            raise EngineLostError("the GPU has failed")

    runner = shop(before=lose)
    runner.drop("good", 20)
    runner.drop("bad", 20)
    with pytest.raises(EngineLostError):
        runner.work()
    assert runner.manifests("processing") == ["bad.json"]
    assert runner.manifests("") == ["good.json"]


@pytest.mark.parametrize("way", ["deleted", "moved", "cancelled"])
def test_removing_a_manifest_from_processing_stops_the_work_on_it(shop: Make, way: str) -> None:
    begun, gone = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        if task.manifest == "m" and task.pair.id == "p2":
            begun.set()
            assert gone.wait(60)

    runner = shop(before=hold)
    runner.drop("m", 50)
    thread = runner.in_background()
    assert begun.wait(60)
    runner.listener.wait_for(PairDone, lambda event: event.record.id == "p1")
    if way == "deleted":
        runner.inbox.remove("processing/m.json")
    elif way == "moved":
        runner.inbox.move("processing/m.json", "elsewhere/m.json")
    else:
        Inbox(runner.inbox).cancel("m")
    left = runner.listener.wait_for(ManifestLeft)
    gone.set()
    thread.join(60)
    assert left.reason.endswith("/processing/m.json was moved or deleted; work on it stops")
    assert len(runner.listener.of(ManifestLeft)) == 1
    assert runner.listener.of(ManifestEnded) == []
    assert [event.record.id for event in runner.listener.of(PairDone)] == ["p0", "p1"]
    assert runner.manifests("") == runner.manifests("processing") == runner.manifests("done") == []
    assert len(runner.engine.tasks) < 10
    if way == "cancelled":
        assert errors_of(runner, "m") == [{"message": "cancelled by hand"}]


def test_nothing_is_published_after_the_claim_is_lost(shop: Make) -> None:
    def lose(task: Task) -> None:
        if task.pair.id == "p1":
            runner.inbox.abandon("processing/m.json")
            taken_over.append(runner.inbox.claim("m.json", "processing/m.json"))

    taken_over: list[object] = []
    runner = shop(before=lose)
    runner.drop("m", 3)
    runner.work()
    records = {key for verb, key in runner.outbox.calls if verb == "write" and key.endswith("json")}
    assert records <= {"m/p0.json"}  # may have been published before the claim was lost
    (left,) = runner.listener.of(ManifestLeft)
    assert left.reason.endswith("another runner has taken over")


def test_stopping_hands_back_the_manifest_and_keeps_finished_pairs(shop: Make) -> None:
    def stop(task: Task) -> None:
        if task.pair.id == "p1":
            runner.session.end_soon()

    runner = shop(before=stop)
    runner.drop("m", 9)
    runner.work()
    assert runner.manifests("") == ["m.json"]
    assert runner.listener.of(ManifestLeft) == [ManifestLeft("m", "manifest handed back")]
    assert len(runner.listener.of(PairDone)) < 9


def test_manifests_are_handed_back_in_parallel_and_a_second_caller_waits(shop: Make) -> None:
    hold = threading.Event()

    def wait_for_test(task: Task) -> None:
        hold.wait(60)

    runner = shop(before=wait_for_test, batch=2)
    for number in range(4):
        runner.drop(f"m{number}", 3)
    thread = runner.in_background()
    while len(runner.engine.tasks) < 5:  # two batches of two pairs wait, and one pair is computed
        assert thread.is_alive()
    count = len(runner.manifests("processing"))
    assert count > 1
    together = threading.Barrier(count + 1)

    def wait(verb: str, key: str) -> None:
        if verb == "release":
            together.wait(60)

    runner.inbox.before = wait
    runner.session.end_soon()
    while together.n_waiting < count:
        assert thread.is_alive()
    second = threading.Thread(target=runner.owner.hand_back)
    second.start()
    second.join(0.1)
    assert second.is_alive()
    together.wait(60)
    for each in (thread, second):
        each.join(60)
    hold.set()
    assert runner.manifests("processing") == []
    assert len(runner.manifests("")) == 4


def test_a_manifest_that_cannot_be_moved_to_done_is_handed_back(shop: Make) -> None:
    def refuse(verb: str, key: str) -> None:
        if (verb, key) == ("move_to", "done/m.json"):
            raise StoreError("done: is a file")

    runner = shop()
    runner.inbox.before = refuse
    runner.drop("m")
    runner.work()
    assert runner.manifests("") == ["m.json"]
    assert len(runner.listener.of(PairDone)) == 1
    assert runner.owner.problems == 1


def test_the_owner_waits_for_an_unavailable_outbox(shop: Make) -> None:
    tries = iter(range(3))

    def refuse(verb: str, key: str) -> None:
        if verb == "write" and next(tries, None) is not None:
            raise UnavailableError("outbox: out of reach")

    runner = shop()
    runner.outbox.before = refuse
    runner.drop("m")
    runner.work()
    assert runner.manifests("done") == ["m.json"]
    assert runner.listener.of(Failed) == []


def test_the_claim_is_confirmed_before_each_file_is_written(shop: Make) -> None:
    runner = shop()
    lost = iter([False] * 6 + [True] * 100)

    def lose(verb: str, key: str) -> None:
        if verb == "confirm" and next(lost):
            raise ClaimLostError(f"{key}: another runner has taken over")

    runner.inbox.before = lose
    runner.drop("m", 2)
    runner.work()
    records = [key for verb, key in runner.outbox.calls if verb == "write" and key.endswith(".json")]
    assert len(records) <= 1
    assert runner.manifests("done") == []
