"""What becomes of manifests when a runner stops, or is stopped."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from pipeline.engines.base import Task
from pipeline.events.listener import Failed, ManifestEnded, ManifestLeft, ManifestStarted, Note, PairDone
from pipeline.inbox.inbox import Inbox
from pipeline.stores.base import History
from tests.pipeline.work.conftest import QUICK, Shop

Make = Callable[..., Shop]


def _is_of(pair: str, event: PairDone) -> bool:
    return event.record.id == pair


@pytest.mark.parametrize("way", ["deleted", "moved", "cancelled"])
def test_taking_a_manifest_out_of_processing_stops_the_work_on_it(shop: Make, way: str) -> None:
    begun, gone = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        if task.manifest == "m" and task.pair.id == "p2":
            begun.set()
            assert gone.wait(60)

    runner = shop(before=hold, timing=replace(QUICK, cancelled=0.01))
    runner.drop("m", 50)
    thread = runner.in_background()
    assert begun.wait(60)
    for pair in ("p0", "p1"):
        runner.listener.wait_for(PairDone, partial(_is_of, pair))
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
    assert not left.claim_lost
    assert len(runner.listener.of(ManifestLeft)) == 1
    assert runner.listener.of(ManifestEnded) == []
    assert sorted(event.record.id for event in runner.listener.of(PairDone)) == ["p0", "p1"]
    assert runner.manifests("") == runner.manifests("processing") == runner.manifests("done") == []
    assert len(runner.engine.tasks) < 10
    if way == "cancelled":
        assert runner.errors("m") == [{"message": "cancelled by hand"}]


def test_stopping_hands_back_what_has_not_ended_and_keeps_what_is_done(shop: Make) -> None:
    def stop(task: Task) -> None:
        if task.pair.id == "p1":
            runner.session.end_soon()

    runner = shop(before=stop)
    runner.drop("m", 9)
    runner.work()
    assert runner.manifests("") == ["m.json"]
    assert runner.listener.of(ManifestLeft) == [ManifestLeft("m", "manifest handed back")]
    assert len(runner.listener.of(PairDone)) < 9


def test_a_runner_that_is_killed_while_it_stops_counts_as_no_crash(shop: Make) -> None:
    held, go_on = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        held.set()
        assert go_on.wait(60)

    runner = shop(before=hold)
    runner.drop("m", 9)
    thread = runner.in_background()
    assert held.wait(60)
    runner.owner.mark_stopping()
    runner.inbox.abandon("processing/m.json")
    claim = runner.inbox.claim("m.json", "processing/m.json")
    assert claim and claim.history == History()
    runner.session.end_soon()
    go_on.set()
    thread.join(60)


def test_manifests_are_handed_back_side_by_side_and_a_second_caller_waits(shop: Make) -> None:
    hold, full, waiting = threading.Event(), threading.Event(), threading.Event()

    def wait_for_test(task: Task) -> None:
        full.set()
        hold.wait(60)

    runner = shop(before=wait_for_test, batch=2)
    for number in range(2):
        runner.drop(f"m{number}", 9)
    thread = runner.in_background()
    assert full.wait(60)
    runner.inbox_has_in_processing(2)
    together, returned = threading.Barrier(3), list[str]()

    def wait(verb: str, key: str) -> None:
        if verb == "release":
            waiting.set()
            together.wait(60)

    def hand_back() -> None:
        runner.owner.hand_back()
        returned.append("second")

    runner.inbox.before = wait
    runner.session.end_soon()
    assert waiting.wait(60)
    second = threading.Thread(target=hand_back)
    second.start()
    assert not returned  # nor can it return before both are released
    together.wait(60)
    second.join(60)
    assert returned
    assert runner.manifests("processing") == []
    hold.set()
    thread.join(60)
    assert len(runner.manifests("")) == 2


def test_a_manifest_that_is_still_being_read_is_marked_and_handed_back(shop: Make) -> None:
    reading, go_on = threading.Event(), threading.Event()

    def hold(verb: str, key: str) -> None:
        if (verb, key) == ("read", "processing/m.json"):
            reading.set()
            assert go_on.wait(60)

    runner = shop()
    runner.drop("m")
    assert runner.box.scan()  # which reads the priority
    runner.inbox.before = hold
    thread = runner.in_background()
    assert reading.wait(60)
    runner.feed.mark_stopping()
    runner.feed.hand_back()
    assert runner.manifests("") == ["m.json"]
    claim = runner.inbox.claim("m.json", "processing/m.json")
    assert claim and claim.history == History()
    runner.session.end_soon()
    go_on.set()
    thread.join(60)


def product(runner: Shop) -> None:
    """Write a manifest with patterns into the inbox."""
    document = {"product": {"content": ["a.p*"], "style": ["b.p*"]}}
    runner.inbox.write("m.json", json.dumps(document).encode())


def test_a_stop_ends_a_search_for_images_and_hands_the_manifest_back(shop: Make) -> None:
    def stop(verb: str, key: str) -> None:
        if verb == "glob":
            runner.session.end_soon()

    runner = shop()
    product(runner)
    runner.inbox.before = stop
    runner.work()
    assert runner.manifests("") == ["m.json"]
    for event in (ManifestStarted, Failed, ManifestEnded):
        assert not runner.listener.of(event)
    claim = runner.inbox.claim("m.json", "processing/m.json")
    assert claim and claim.history == History()


@pytest.mark.parametrize(
    ("slow", "message"), [("glob", "the search for the images of a manifest"), ("entries", "the scan of")]
)
def test_a_scan_and_a_search_that_take_long_are_reported_while_they_go_on(
    shop: Make, slow: str, message: str
) -> None:
    def wait(verb: str, key: str) -> None:
        if verb == slow:
            runner.listener.wait_for(Note, lambda note: note.message.startswith(message))

    runner = shop(timing=replace(QUICK, slow=0.0))
    product(runner)
    runner.inbox.before = wait
    runner.work()
    assert runner.manifests("done") == ["m.json"]
