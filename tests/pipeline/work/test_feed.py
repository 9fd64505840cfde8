"""Which manifest gives the next pair, and when one is claimed."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from nst import Parameters
from pipeline.engines.base import Outcome, Task
from pipeline.engines.fake import FakeEngine
from pipeline.errors import UnavailableError
from pipeline.events.listener import Failed, ManifestEnded, ManifestLeft, Note, Scanned, StoreUnavailable
from pipeline.inbox.triggers import Trigger
from pipeline.manifest.models import Pair
from pipeline.outbox.outbox import Outbox
from pipeline.work.feed import FileFeed, InboxFeed
from pipeline.work.job import Job
from tests.pipeline.work.conftest import QUICK, Shop

Make = Callable[..., Shop]


def test_a_small_manifest_is_done_within_two_batches_of_a_large_one(shop: Make) -> None:
    begun, dropped = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        begun.set()
        assert dropped.wait(60)

    runner = shop(before=hold)
    runner.drop("large", 50)
    thread = runner.in_background()
    assert begun.wait(60)
    runner.drop("small")
    runner.session.wake.set()
    dropped.set()
    thread.join(60)
    order = runner.handed_out()
    # One is computed and two wait when it is dropped; the engine takes a newcomer before those that wait.
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


def test_a_higher_priority_goes_first_and_age_before_names(shop: Make) -> None:
    runner = shop()
    for name, priority in (("y", 0), ("x", 0), ("last", -1), ("first", 100)):
        runner.drop(name, 2, priority=priority)
    runner.work()
    assert runner.handed_out()[:3] == ["first/p0", "first/p1", "y/p0"]
    assert runner.handed_out()[-2:] == ["last/p0", "last/p1"]


def test_a_manifest_is_claimed_only_when_a_pair_of_it_is_handed_out(shop: Make) -> None:
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
    assert claimed[0][1] <= 4  # one computed, two ahead, one that is being handed out


def test_what_would_begin_after_the_next_batch_is_left_to_other_runners(
    shop: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_more, held = threading.Event(), list[list[str]]()

    def hold(task: Task) -> None:
        no_more.wait(10)
        held.append(runner.manifests("processing"))

    runner = shop(before=hold)
    monkeypatch.setattr(runner.engine, "flush", no_more.set)
    for number in range(9):
        runner.drop(f"m{number}")
    runner.work()
    assert held[0] == ["m0.json", "m1.json"]
    assert len(runner.manifests("done")) == 9


def test_a_turn_is_as_long_as_a_batch(shop: Make) -> None:
    runner = shop(batch=4)
    for name in ("a", "b"):
        runner.drop(name, 12)
    runner.work()
    order = "".join(name[0] for name in runner.handed_out())
    assert order[:12] == "aaaaaaaabbbb"  # the first turn, one more, and the newcomer's
    assert all(len(set(order[n : n + 4])) == 1 for n in range(0, 24, 4))


def test_an_invalid_manifest_is_refused_and_the_next_one_is_worked_on(shop: Make) -> None:
    runner = shop()
    runner.inbox.write("bad.json", b"[]")
    runner.drop("good")
    runner.work()
    assert runner.manifests("failed") == ["bad.error.json", "bad.json"]
    assert runner.manifests("done") == ["good.json"]
    assert runner.feed.problems == 1


def test_what_can_be_neither_read_nor_refused_is_skipped_for_this_round(shop: Make) -> None:
    runner = shop(timing=replace(QUICK, retry_first=3600, retry_last=3600))

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
    assert [event.message for event in runner.listener.of(StoreUnavailable) if not event.again] == [
        "failed/bad.error.json: out of reach"
    ]


def test_what_can_be_neither_read_nor_refused_is_tried_again_later_and_reported_once(shop: Make) -> None:
    runner, given = shop(timing=replace(QUICK, retry_first=3600, retry_last=3600)), list[bool]()

    def refuse(verb: str, key: str) -> None:
        if (verb, key) == ("write", "failed/m.error.json"):
            raise UnavailableError("out of reach")

    def claims() -> int:
        return sum(verb == "claim" for verb, _ in runner.inbox.calls)

    runner.inbox.before = refuse
    runner.inbox.write("m.json", b"[]")
    for _ in range(3):
        runner.feed.begin()
        assert runner.feed.next(1, claim=True) is None
        given.append(runner.feed.unsettled)
    assert (claims(), given) == (1, [True] * 3)

    other = shop(at=runner, timing=replace(QUICK, retry_last=0))
    for _ in range(3):
        other.feed.begin()
        assert other.feed.next(1, claim=True) is None
    assert claims() == 4
    assert [event.again for event in other.listener.of(StoreUnavailable)] == [False, True, True]
    runner.inbox.before = lambda verb, key: None
    other.work()
    assert runner.manifests("failed") == ["m.error.json", "m.json"]
    assert not other.feed.unsettled


def test_a_manifest_that_is_refused_is_not_a_failed_pair(shop: Make) -> None:
    runner = shop()
    pair = {"id": "twice", "content": "a.png", "style": "b.png"}
    runner.inbox.write("m.json", json.dumps({"pairs": [pair, pair]}).encode())
    runner.work()
    (failed,) = runner.listener.of(Failed)
    assert (failed.manifest, failed.problem.id) == ("m", None)
    assert "'twice' is named twice" in failed.problem.message
    assert runner.errors("m")[0]["id"] == "twice"


def test_a_suspect_is_worked_on_alone_and_others_are_handed_back_for_it(shop: Make) -> None:
    begun, dropped = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        begun.set()
        assert dropped.wait(60)
        if task.manifest == "suspect" and task.pair.id == "p0":
            assert runner.manifests("processing") == ["suspect.json"]

    runner = shop(before=hold)
    runner.drop("large", 30)
    thread = runner.in_background()
    assert begun.wait(60)
    runner.drop("suspect", 3)
    runner.die_with("suspect")
    runner.session.wake.set()
    dropped.set()
    thread.join(60)
    assert not thread.is_alive()
    left = [(event.manifest, event.reason) for event in runner.listener.of(ManifestLeft)]
    assert left == [("large", "manifest handed back")]
    assert {event.manifest for event in runner.listener.of(ManifestEnded)} == {"suspect", "large"}
    done = [name for name in runner.handed_out() if name.startswith("large")]
    assert set(done) == {f"large/p{n}" for n in range(30)}


def test_a_fault_that_goes_on_is_reported_once(shop: Make) -> None:
    runner = shop()

    def refuse(verb: str, key: str) -> None:
        if verb == "entries":
            raise UnavailableError("memory: out of reach")

    runner.inbox.before = refuse
    for _ in range(3):
        runner.feed.begin()
        assert runner.feed.next(1, claim=True) is None
    # The log shows the first one only.
    assert [event.again for event in runner.listener.of(StoreUnavailable)] == [False, True, True]
    assert runner.listener.of(Note) == []
    assert runner.feed.unsettled


def test_a_scan_reports_how_many_manifests_wait_and_how_many_are_worked_on(shop: Make) -> None:
    runner = shop()
    for name in "abc":
        runner.drop(name)
    assert runner.inbox.claim("a.json", "processing/a.json")
    runner.feed.scan()
    runner.inbox.remove("b.json")
    runner.feed.scan()
    assert runner.listener.of(Scanned) == [Scanned(2, 1), Scanned(1, 1)]

    def refuse(verb: str, key: str) -> None:
        raise UnavailableError("memory: out of reach")

    runner.inbox.before = refuse
    runner.feed.scan()
    assert len(runner.listener.of(Scanned)) == 2  # what was not scanned is not reported


def test_manifests_whose_priority_is_not_read_yet_are_not_claimed_too_early(shop: Make) -> None:
    runner = shop(timing=replace(QUICK, priorities=0.0))
    runner.drop("large", 20)
    for number in range(10):
        runner.drop(f"low{number}", 1, priority=-1)
    runner.work()
    order = runner.handed_out()
    assert order[:20] == [f"large/p{n}" for n in range(20)]
    assert len(runner.manifests("done")) == 11


def test_a_stop_hands_back_what_was_claimed_and_not_begun(shop: Make) -> None:
    runner = shop()

    def stop(verb: str, key: str) -> None:
        if verb == "claim" and key == "b.json":
            runner.session.end_soon()

    runner.inbox.before = stop
    for name in ("a", "b", "c"):
        runner.drop(name, 3)
    runner.work()
    runner.feed.hand_back()
    assert runner.manifests("") == ["a.json", "b.json", "c.json"]


def test_a_store_that_refuses_claims_for_a_moment_is_asked_again_in_the_same_round(shop: Make) -> None:
    def step(task: Task) -> None:
        if task.manifest == "large" and task.pair.id == "p9":
            runner.inbox.before = lambda verb, key: None
            runner.session.wake.set()

    def refuse(verb: str, key: str) -> None:
        if verb == "claim" and key != "large.json":
            raise UnavailableError("memory: out of reach")

    runner = shop(before=step)
    runner.inbox.before = refuse
    runner.drop("large", 40)
    for number in range(6):
        runner.drop(f"small{number}")
    runner.work()
    ended = [event.manifest for event in runner.listener.of(ManifestEnded)]
    assert ended[-1] == "large"
    assert len(ended) == 7


def test_manifests_that_others_hold_are_tried_once_in_a_round(shop: Make) -> None:
    runner = shop()
    held = []
    for number in range(30):
        runner.drop(f"held{number}")
        held.append(runner.inbox.claim(f"held{number}.json", f"processing/held{number}.json"))
    runner.drop("ours", 5)
    runner.inbox.calls.clear()
    runner.work()
    assert runner.manifests("done") == ["ours.json"]
    claims = [key for verb, key in runner.inbox.calls if verb == "claim"]
    assert len(claims) == len(set(claims))


def test_a_suspect_that_makes_progress_is_alone_no_more(shop: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    dealt_with = threading.Semaphore(0)

    def take() -> Outcome | None:
        dealt_with.release()
        return FakeEngine.take(runner.engine)

    def wait(task: Task) -> None:
        # Otherwise all pairs may be compared before the owner hears of the first one that has to be computed.
        assert dealt_with.acquire(timeout=60)

    runner = shop(before=wait)
    monkeypatch.setattr(runner.engine, "take", take)
    runner.drop("suspect", 30)
    runner.die_with("suspect")
    runner.drop("other")
    runner.work()
    assert runner.handed_out().index("other/p0") < len(runner.handed_out()) - 1


def test_files_are_worked_on_one_after_the_other_by_priority(shop: Make) -> None:
    runner = shop()
    sources = runner.stores.sources(runner.inbox.url)
    pair = Pair(id="p", place="", content="a.png", styles=(), parameters=Parameters())
    jobs = [Job(name, [pair] * 2, sources, priority) for name, priority in (("a", 0), ("b", 5), ("c", 0))]
    feed = FileFeed(jobs, runner.listener)
    order = ""
    assert feed.has_more()
    while given := feed.next(1, claim=True):
        order += given.job.name
    assert order == "bbaacc"
    assert not feed.has_more()


class Seeing(Trigger):
    """Remembers what scans have shown."""

    def __init__(self) -> None:
        self.shown: list[set[str]] = []

    def seen(self, names: set[str]) -> None:
        self.shown.append(names)


def test_a_scan_that_fails_shows_a_trigger_nothing(shop: Make) -> None:
    runner, trigger = shop(), Seeing()
    sources = runner.stores.sources(runner.inbox.url)
    feed = InboxFeed(runner.box, sources, Outbox(runner.outbox), trigger, runner.session)
    runner.drop("m")

    def unavailable(verb: str, key: str) -> None:
        raise UnavailableError("the inbox cannot be reached")

    runner.inbox.before = unavailable
    feed.scan()
    assert trigger.shown == []
    runner.inbox.before = lambda verb, key: None
    feed.scan()
    assert trigger.shown == [{"m"}]
