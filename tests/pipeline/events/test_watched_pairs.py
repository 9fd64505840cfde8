"""Who is watched until when, and which previews are kept."""

import pytest

from pipeline.errors import Problem
from pipeline.events.listener import Event, Failed, ManifestEnded, ManifestLeft, PairDone
from pipeline.events.previews import Previews
from pipeline.timing import Timing
from tests.pipeline.outbox.made import make_record


class Clock:
    """Stands still unless a test moves it."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def previews(clock: Clock) -> Previews:
    return Previews(Timing(watched=10), clock)


def test_a_pair_is_watched_for_ten_seconds_after_each_request(previews: Previews, clock: Clock) -> None:
    assert previews.watched() == frozenset()
    assert previews.watch("m", "a") is None
    assert previews.watch("m", "b") is None
    clock.now += 9
    previews.watch("m", "a")
    assert previews.watched() == {("m", "a"), ("m", "b")}
    clock.now += 1
    assert previews.watched() == {("m", "a")}
    clock.now += 9
    assert previews.watched() == frozenset()


def test_the_newest_preview_is_kept_while_the_pair_is_watched(previews: Previews, clock: Clock) -> None:
    previews.watch("m", "a")
    previews.put("m", "a", b"first")
    assert previews.watch("m", "a") == b"first"
    previews.put("m", "a", b"second")
    clock.now += 9
    assert previews.watch("m", "a") == b"second"
    clock.now += 10
    assert previews.watch("m", "a") is None


def test_a_preview_that_nobody_watches_is_not_kept(previews: Previews, clock: Clock) -> None:
    previews.put("m", "a", b"never asked for")
    assert previews.watch("m", "a") is None
    clock.now += 10
    previews.put("m", "a", b"too late")
    assert previews.watch("m", "a") is None


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (PairDone("m", make_record(pair="a"), computed=True), {("m", "b"), ("n", "a")}),
        (Failed("m", Problem("pairs[0]", "too large", "a")), {("m", "b"), ("n", "a")}),
        (Failed("m", Problem("", "refused")), {("n", "a")}),
        (ManifestEnded("m", 0), {("n", "a")}),
        (ManifestLeft("m", "cancelled"), {("n", "a")}),
    ],
)
def test_a_pair_is_forgotten_when_it_or_its_manifest_ends(
    previews: Previews, event: Event, left: set[tuple[str, str]]
) -> None:
    for manifest, pair in (("m", "a"), ("m", "b"), ("n", "a")):
        previews.watch(manifest, pair)
        previews.put(manifest, pair, b"jpeg")
    previews.hear(event)
    assert previews.watched() == left
    assert previews.watch("m", "a") is None
    assert previews.watch("n", "a") == b"jpeg"


def test_at_most_256_pairs_are_watched_and_those_asked_for_last_are_kept(previews: Previews) -> None:
    for number in range(300):
        previews.watch("m", "always")
        previews.watch("m", f"{number}")
    assert previews.watched() == {("m", "always"), *(("m", f"{number}") for number in range(45, 300))}
