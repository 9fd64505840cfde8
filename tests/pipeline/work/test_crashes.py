"""A runner is killed at each step it takes on disk or with a bucket; whoever comes next puts all right."""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
from botocore.client import BaseClient

from nst import Stylizer
from tests.pipeline.box import PAIRS, Box, Instant
from tests.pipeline.outcome import assert_whole

ON_DISK = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.truncate", "shutil.rmtree"}
STATES = ("", "processing", "done", "failed")


def arm(steps: int, places: Sequence[str]) -> None:
    """Kill this process after so many changes to files, or beginnings and ends of requests."""
    left = steps

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_event(name: str, arguments: tuple[Any, ...]) -> None:
        if name in ON_DISK and any(str(arguments[0]).startswith(place) for place in places):
            step()

    request = BaseClient._make_api_call

    def told(*arguments: Any) -> Any:
        step()
        answer = request(*arguments)
        step()
        return answer

    sys.addaudithook(on_event)
    BaseClient._make_api_call = told
    fsync = os.fsync

    def synced(file: int) -> None:
        step()
        fsync(file)

    setattr(os, "fsync", synced)  # noqa: B010


# Of a bucket only every third step, as a lease takes its time to lapse.
@pytest.mark.parametrize(("boxes", "stride"), [("folder_box", 1), ("bucket_box", 3)])
def test_wherever_a_runner_dies_nothing_is_lost_or_doubled(
    boxes: str, stride: int, stylizer: Stylizer, request: pytest.FixtureRequest
) -> None:
    make: Callable[[], Box] = request.getfixturevalue(boxes)
    instant, steps = Instant(stylizer), 0
    while True:
        box = make()
        box.fill()
        ended = box.work(instant, partial(arm, steps, [box.inbox.url, box.outbox.url]))
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
    assert steps > 20  # it did die at many a place
