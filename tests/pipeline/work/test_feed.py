"""The order in which manifests are claimed and give pairs."""

import threading
from collections.abc import Callable

from pipeline.engines.base import Task
from pipeline.errors import UnavailableError
from pipeline.events.listener import ManifestEnded, ManifestLeft, Note, StoreUnavailable
from tests.pipeline.work.conftest import Shop

Make = Callable[..., Shop]


def test_a_small_manifest_is_done_within_two_batches_of_a_large_one(shop: Make) -> None:
    begun, dropped = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        begun.set()
        assert dropped.wait(60)

    runner = shop(before=hold)
    runner.inbox.idle_interval = 3600.0  # so that only the event can start the scan that finds the small one
    runner.drop("large", 50)
    thread = runner.in_background()
    assert begun.wait(60)
    runner.drop("small")
    runner.session.wake.set()
    dropped.set()
    thread.join(60)
    order = runner.handed_out()
    # When it arrives, one pair is computed and two wait. The engine takes its pair before those that wait.
    assert order.index("small/p0") <= 3
    ended = [event.manifest for event in runner.listener.of(ManifestEnded)]
    assert ended == ["small", "large"]
    assert runner.manifests("done") == ["large.json", "small.json"]


def test_manifests_take_turns(shop: Make) -> None:
    runner = shop()
    for name in ("a", "b", "c"):
        runner.drop(name, 30)
    runner.work()
    first = [name.split("/")[0] for name in runner.handed_out()[:30]]
    assert min(first.count(name) for name in "abc") >= 7
    assert runner.manifests("done") == ["a.json", "b.json", "c.json"]


def test_manifests_are_ordered_by_priority_then_age_then_name(shop: Make) -> None:
    runner = shop()
    for name, priority in (("y", 0), ("x", 0), ("last", -1), ("first", 100)):
        runner.drop(name, 2, priority=priority)
    runner.work()
    ended = [event.manifest for event in runner.listener.of(ManifestEnded)]
    assert ended[0] == "first"
    assert ended[-1] == "last"
    assert runner.handed_out()[2] == "y/p0"


def test_a_manifest_is_claimed_only_when_its_first_pair_is_handed_out(shop: Make) -> None:
    claimed: list[tuple[int, int]] = []

    def note(task: Task) -> None:
        claims = sum(verb == "claim" for verb, _ in runner.inbox.calls)
        claimed.append((len({t.manifest for t in runner.engine.tasks}), claims))

    runner = shop(before=note)
    for number in range(20):
        runner.drop(f"m{number:02}")
    runner.work()
    assert len(runner.manifests("done")) == 20
    assert all(claims <= manifests + 1 for manifests, claims in claimed)
    assert claimed[0][1] <= 4  # one is computed, two wait, one is handed out


def test_a_turn_is_as_long_as_a_batch(shop: Make) -> None:
    runner = shop(batch=4)
    for name in ("a", "b"):
        runner.drop(name, 12)
    runner.work()
    order = "".join(name[0] for name in runner.handed_out())
    assert order[:12] == "aaaaaaaabbbb"  # the first turn of a, its second turn, and the first turn of b
    assert all(len(set(order[n : n + 4])) == 1 for n in range(0, 24, 4))


def test_an_invalid_manifest_is_refused_and_the_next_one_is_worked_on(shop: Make) -> None:
    runner = shop()
    runner.inbox.write("bad.json", b"[]")
    runner.drop("good")
    runner.work()
    assert runner.manifests("failed") == ["bad.error.json", "bad.json"]
    assert runner.manifests("done") == ["good.json"]
    assert runner.feed.problems == 1


def test_an_invalid_manifest_that_cannot_be_moved_to_failed_is_skipped_for_this_round(shop: Make) -> None:
    runner = shop()

    def refuse(verb: str, key: str) -> None:
        if (verb, key) == ("write", "failed/bad.error.json"):
            raise UnavailableError(f"{key}: out of reach")

    runner.inbox.before = refuse
    runner.inbox.write("bad.json", b"[]")
    runner.drop("good")
    runner.work()
    assert runner.manifests("done") == ["good.json"]
    assert runner.manifests("") == ["bad.json"]
    assert runner.feed.unsettled
    assert [event.message for event in runner.listener.of(StoreUnavailable)] == [
        "failed/bad.error.json: out of reach"
    ]


def test_other_manifests_are_handed_back_before_a_suspect_is_worked_on_alone(shop: Make) -> None:
    begun, dropped = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        begun.set()
        assert dropped.wait(60)
        if task.manifest == "suspect":
            assert runner.manifests("processing") == ["suspect.json"]

    runner = shop(before=hold)
    runner.drop("large", 30)
    thread = runner.in_background()
    assert begun.wait(60)
    runner.drop("suspect", 3)
    claim = runner.inbox.claim("suspect.json", "processing/suspect.json")
    assert claim
    runner.inbox.abandon("processing/suspect.json")  # as if a runner had died with it
    runner.session.wake.set()
    dropped.set()
    thread.join(60)
    assert not thread.is_alive()
    left = [(event.manifest, event.reason) for event in runner.listener.of(ManifestLeft)]
    assert left == [("large", "manifest handed back")]
    assert [event.manifest for event in runner.listener.of(ManifestEnded)] == ["suspect", "large"]
    done = [name for name in runner.handed_out() if name.startswith("large")]
    assert set(done) == {f"large/p{n}" for n in range(30)}


def test_a_lasting_fault_is_reported_once(shop: Make) -> None:
    runner = shop()

    def refuse(verb: str, key: str) -> None:
        if verb == "entries":
            raise UnavailableError("memory: out of reach")

    runner.inbox.before = refuse
    for _ in range(3):
        runner.feed.begin()
        assert runner.feed.next(1) is None
    assert len(runner.listener.of(StoreUnavailable)) == 1
    assert runner.listener.of(Note) == []
    assert runner.feed.unsettled
