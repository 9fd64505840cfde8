"""Four runners, each a process, share one prefix on a real S3 server."""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tests.pipeline.box import Box
from tests.process import Event

RUNNERS, MANIFESTS = 4, 16


def test_each_manifest_is_processed_by_exactly_one_of_four_runners(bucket_box: Callable[[], Box]) -> None:
    box, names = bucket_box(), [f"{number:03}" for number in range(MANIFESTS)]
    box.fill(names, ["p0"])
    with ExitStack() as stack:
        runners = [stack.enter_context(box.watch("--once")) for _ in range(RUNNERS)]
        assert [runner.finish() for runner in runners] == [0] * RUNNERS

    # Count the events, because files in the outbox do not show whether a pair was computed twice.
    events = [event for runner in runners for event in runner.events]
    for event in ("pair started", "pair done", "manifest done"):
        assert counted(events, event) == Counter(names)
    assert box.names("done") == {f"{name}.json" for name in names}
    assert not box.left() | box.names("failed")
    assert sum(runner.count("manifest done") > 0 for runner in runners) > 1  # more than one runner got work


def counted(events: Sequence[Event], event: str) -> Counter[str]:
    return Counter(found["manifest"] for found in events if found["event"] == event)
