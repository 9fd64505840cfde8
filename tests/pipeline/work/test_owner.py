"""What the owner does with outcomes, with claims that are gone, and when it stops."""

import gc
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.engines.base import Died, Outcome, Task
from pipeline.errors import ClaimLostError, EngineLostError, StoreError, UnavailableError
from pipeline.events.listener import Failed, ManifestEnded, ManifestLeft, Note, PairDone, StoreUnavailable
from pipeline.outbox.outbox import Outbox
from pipeline.stores.sources import Sources
from pipeline.work.job import Job
from pipeline.work.patience import Patience
from pipeline.work.settling import Settling
from tests.pipeline.work.conftest import QUICK, Shop

Make = Callable[..., Shop]


def test_the_record_is_the_last_file_of_a_pair_and_the_page_the_last_of_a_manifest(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 2)
    runner.work()
    *written, last = [key for verb, key in runner.outbox.calls if verb == "replace" and "thumbs" not in key]
    for pair in ("m/p0", "m/p1"):
        files = [f"{pair}.{end}" for end in ("loss.jsonl", "png", "json")]
        assert [key for key in written if key.startswith(pair)] == files
    assert last == "m/index.html"
    assert runner.manifests("done") == ["m.json"]


def test_what_is_done_already_is_not_done_again(shop: Make) -> None:
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


def test_a_pair_that_fails_sets_its_manifest_aside_and_the_others_are_done(shop: Make) -> None:
    def fail(task: Task) -> None:
        if task.pair.id == "p1":
            raise StoreError("a.png: is bad")

    runner = shop(before=fail)
    runner.drop("m", 3)
    runner.work()
    assert runner.errors("m") == [{"place": "pairs[1]", "message": "a.png: is bad", "id": "p1"}]
    assert runner.owner.problems == 1
    assert sorted(event.record.id for event in runner.listener.of(PairDone)) == ["p0", "p2"]


def test_pairs_are_published_side_by_side(shop: Make) -> None:
    both = threading.Barrier(2, timeout=60)  # it breaks if one waits alone

    def meet(verb: str, key: str) -> None:
        if verb == "replace" and key.endswith(".png"):
            both.wait()

    runner = shop()
    runner.outbox.before = meet
    runner.drop("m", 4)
    runner.work()
    assert runner.manifests("done") == ["m.json"]
    assert sorted(event.record.id for event in runner.listener.of(PairDone)) == ["p0", "p1", "p2", "p3"]


def test_an_outbox_that_is_unavailable_to_several_pairs_is_reported_once(shop: Make) -> None:
    both = threading.Barrier(2, timeout=60)

    def fail_once(verb: str, key: str) -> None:
        if verb == "replace" and key in pictures:
            pictures.remove(key)
            both.wait()
            raise UnavailableError("outbox: no space is left")

    pictures = {"m/p0.png", "m/p1.png"}
    runner = shop()
    runner.outbox.before = fail_once
    runner.drop("m", 2)
    runner.work()
    assert runner.manifests("done") == ["m.json"]
    waits = runner.listener.of(StoreUnavailable)
    assert sorted(event.again for event in waits) == [False, True]


def test_a_pair_that_an_engine_died_with_is_tried_again_alone(shop: Make) -> None:
    def die(task: Task) -> Outcome | None:
        return Died(task, "the node is gone") if task.pair.id == "p0" and not task.alone else None

    runner = shop(before=die)
    runner.drop("m", 2)
    runner.work()
    assert runner.manifests("done") == ["m.json"]
    assert [task.pair.id for task in runner.engine.tasks if task.alone] == ["p0"]


def test_a_pair_that_three_engines_died_with_fails(shop: Make) -> None:
    def die(task: Task) -> Outcome | None:
        return Died(task, "the node is gone") if task.pair.id == "p0" else None

    runner = shop(before=die)
    runner.drop("m", 2)
    runner.work()
    (error,) = runner.errors("m")
    assert error["id"] == "p0"
    assert error["message"].startswith("3 engines in a row have died with it (the node is gone)")
    assert [event.record.id for event in runner.listener.of(PairDone)] == ["p1"]


def test_an_engine_that_is_lost_counts_against_its_tasks_manifest_only(shop: Make) -> None:
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


def test_a_claim_that_is_lost_publishes_nothing_more(shop: Make) -> None:
    def lose(task: Task) -> None:
        if task.pair.id == "p1":
            runner.inbox.abandon("processing/m.json")
            taken_over.append(runner.inbox.claim("m.json", "processing/m.json"))

    taken_over: list[object] = []
    runner = shop(before=lose)
    runner.drop("m", 3)
    runner.work()
    records = {key for verb, key in runner.outbox.calls if verb == "replace" and key.endswith("json")}
    assert records <= {"m/p0.json"}  # which may have been published before
    (left,) = runner.listener.of(ManifestLeft)
    assert left.reason.endswith("another runner has taken over")
    assert left.claim_lost


def test_a_name_under_which_another_inbox_publishes_is_left_alone_until_that_has_ended(shop: Make) -> None:
    runner = shop()
    runner.drop("m")
    runner.drop("n")
    other = runner.outbox.reserve("m")
    assert other
    runner.work()
    assert runner.manifests("") == ["m.json"]
    assert runner.manifests("done") == ["n.json"]
    second = shop(at=runner)
    second.feed.begin()
    for _ in range(3):  # rounds
        assert second.feed.next(1, claim=True) is None
        second.feed.begin()
    (note,) = second.listener.of(Note)
    assert note.message.startswith("m: waits, because another process publishes under this name")
    other.close()
    shop(at=runner).work()
    assert runner.manifests("done") == ["m.json", "n.json"]
    assert all(runner.outbox.reserve(name) for name in "mn")  # both have been let go


def test_nothing_is_published_in_a_folder_that_another_process_has_reserved_since(
    shop: Make,
) -> None:
    def take_over(task: Task) -> None:
        if task.pair.id == "p1":
            runner.outbox.abandon("m")
            assert runner.outbox.reserve("m")

    runner = shop(before=take_over)
    runner.drop("m", 3)
    runner.work()
    records = {key for verb, key in runner.outbox.calls if verb == "replace" and key.endswith("json")}
    assert records <= {"m/p0.json"}
    (left,) = runner.listener.of(ManifestLeft)
    assert left.reason == "m: another process publishes there"
    assert runner.manifests("done") == []


def test_a_manifest_that_can_not_be_moved_to_its_end_is_put_off(shop: Make) -> None:
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


def test_a_manifest_that_can_not_be_ended_again_and_again_is_put_off_for_longer_each_time(shop: Make) -> None:
    runner = shop()
    patience = Patience(threading.Event(), lambda error, first: None, QUICK)
    settling = Settling(Outbox(runner.outbox), runner.session, patience, lambda name: None)
    ends = list[float]()
    for _ in range(7):
        job = Job("m", [], Sources(runner.inbox))
        settling.put_off(job, "done: is a file")
        ends.append(job.put_off_until - time.monotonic())
    assert [round(end / QUICK.put_off) for end in ends] == [1, 2, 4, 8, 16, 16, 16]


def test_a_claim_that_was_lost_ends_although_the_inbox_is_out_of_reach(shop: Make) -> None:
    def unavailable(verb: str, key: str) -> None:
        if verb == "present":
            raise UnavailableError("inbox: out of reach")

    def take_over(task: Task) -> None:
        runner.outbox.abandon("m")
        assert runner.outbox.reserve("m")
        runner.inbox.before = unavailable

    runner = shop(before=take_over)
    runner.drop("m")
    runner.work()
    assert len(runner.listener.of(ManifestLeft)) == 1
    runner.inbox.before = lambda verb, key: None
    assert runner.box.claim("m")


def test_an_outbox_that_is_unavailable_is_waited_for(shop: Make) -> None:
    tries = iter(range(3))

    def refuse(verb: str, key: str) -> None:
        if verb == "replace" and next(tries, None) is not None:
            raise UnavailableError("outbox: out of reach")

    runner = shop()
    runner.outbox.before = refuse
    runner.drop("m")
    runner.work()
    assert runner.manifests("done") == ["m.json"]
    assert runner.listener.of(Failed) == []


def test_a_claim_confirms_before_each_file(shop: Make) -> None:
    runner = shop()
    lost = iter([False] * 6 + [True] * 100)

    def lose(verb: str, key: str) -> None:
        if verb == "confirm" and next(lost):
            raise ClaimLostError(f"{key}: another runner has taken over")

    runner.inbox.before = lose
    runner.drop("m", 2)
    runner.work()
    records = [key for verb, key in runner.outbox.calls if verb == "replace" and key.endswith(".json")]
    assert len(records) <= 1
    assert runner.manifests("done") == []


def test_what_has_ended_is_forgotten(shop: Make) -> None:
    begun, gone = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        if task.manifest == "m":
            begun.set()
            assert gone.wait(60)

    runner = shop(before=hold, timing=replace(QUICK, cancelled=0.01), batch=8)
    runner.drop("m", 50)
    thread = runner.in_background()
    assert begun.wait(60)
    task = weakref.ref(runner.engine.tasks[-1])
    runner.drop("next")  # before the other one is gone, or else the work may end
    runner.session.wake.set()
    runner.inbox.remove("processing/m.json")
    runner.listener.wait_for(ManifestLeft)
    runner.engine.tasks.clear()
    gone.set()
    runner.listener.wait_for(ManifestEnded)
    thread.join(60)
    gc.collect()
    assert task() is None


def test_a_failure_ends_the_work_although_a_store_is_unavailable(shop: Make) -> None:
    runner = shop()

    def refuse(verb: str, key: str) -> None:
        if verb == "replace":
            runner.inbox.before = fail
            runner.session.wake.set()
            raise UnavailableError("outbox: out of reach")

    def fail(verb: str, key: str) -> None:
        if verb == "entries":
            raise ZeroDivisionError

    runner.outbox.before = refuse
    runner.drop("m", 30)
    with pytest.raises(ZeroDivisionError):
        runner.work()
    assert runner.session.stop.is_set()
