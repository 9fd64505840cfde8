"""Kills a runner at every step on disk or with a bucket. The next runners must finish all work."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from nst import Stylizer
from tests.pipeline.box import PAIRS, Box, Instant
from tests.pipeline.outcome import assert_whole

ON_DISK = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.truncate", "shutil.rmtree"}
STATES = ("", "processing", "done", "failed")


def arm(steps: int, box: Box) -> None:
    """Kill this process after a number of steps: changes of files, and beginnings and ends of requests."""
    left, places = steps, (box.inbox.url, box.outbox.url)

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(name: str, arguments: tuple[Any, ...]) -> None:
        if name not in ON_DISK or (name == "open" and not arguments[2] & os.O_CREAT):
            return
        # A name without a folder is one in an open folder of the inbox or the outbox.
        path = str(arguments[0])
        if "/" not in path or any(path.startswith(place) for place in places):
            step()

    def on_request(**_: Any) -> None:
        step()

    if box.client:
        for event in ("before-call.s3", "after-call.s3"):
            box.client.meta.events.register(event, on_request)
    sys.addaudithook(on_event)
    fsync = os.fsync

    def fsync_with_step(file: int) -> None:
        step()
        fsync(file)

    setattr(os, "fsync", fsync_with_step)  # noqa: B010


# With a bucket only every fifth step, because each time the lease has to expire.
@pytest.mark.parametrize(
    ("boxes", "stride"),
    [("folder_box", 3), ("bucket_box", 5), pytest.param("folder_box", 1, marks=pytest.mark.long)],
)
def test_a_runner_killed_at_any_step_loses_nothing_and_no_pair_is_computed_twice(
    boxes: str, stride: int, stylizer: Stylizer, request: pytest.FixtureRequest
) -> None:
    make: Callable[[], Box] = request.getfixturevalue(boxes)
    instant, steps = Instant(stylizer), 0
    while True:
        box = make()
        box.fill()
        ended = box.work(instant, partial(arm, steps, box))
        found = {state for state in STATES if "m.json" in box.names(state)}
        assert found and "failed" not in found, steps
        for record in box.results("m"):
            assert_whole(box.outbox, record)
        while box.left():
            assert box.work(instant) == 0, box.log.read_text()
        assert box.names("done") == {"m.json"}
        assert box.results("m") == [f"m/{name}" for name in PAIRS]
        assert sum(event["event"] == "pair done" for event in box.events()) <= len(PAIRS)
        if os.WIFEXITED(ended):
            assert os.WEXITSTATUS(ended) == 0
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL
        steps += stride
    assert steps > 20  # it was killed at many different steps
