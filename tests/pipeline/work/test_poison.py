"""A manifest that kills or hangs every runner that works on it must not stop the other manifests."""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from nst import PreparedPair, Stylizer
from nst.result import Result
from pipeline.inbox.inbox import Inbox
from tests.conftest import make_picture
from tests.pipeline.box import BROKEN, PAIRS, Box, Instant
from tests.process import Runner

MOST = 12  # maximum of runners that may be needed
LIMIT = 10**6


def kill_process() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail_gpu() -> None:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure")


class Deadly(Instant):
    """Calls `end` when it computes a pair with this seed."""

    SEED = 13

    def __init__(self, stylizer: Stylizer, end: Callable[[], None]) -> None:
        super().__init__(stylizer)
        self._end = end

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        self._check(pairs)
        return super().run(pairs)

    def _check(self, pairs: Sequence[PreparedPair]) -> None:
        if any(pair.parameters.seed == self.SEED for pair in pairs):
            self._end()


class DeadlyBefore(Deadly):
    """Calls `end` before the batch with this pair, not in it."""

    def capacity(self, pair: PreparedPair) -> int:
        self._check([pair])
        return super().capacity(pair)


def poison(box: Box, name: str, before: Sequence[str], bad: str, after: Sequence[str]) -> None:
    good, others = ([{"id": pair} for pair in pairs] for pairs in (before, after))
    box.drop(name, *good, {"id": bad, "seed": Deadly.SEED}, *others)


def runners_until_all_ended(box: Box, stylizer: Stylizer) -> int:
    """Run runners until all manifests have ended; the number of runners that died."""
    deaths = 0
    for _ in range(MOST if box.endpoint_url is None else 100):
        deaths += os.waitstatus_to_exitcode(box.work(stylizer)) in (-signal.SIGKILL, BROKEN)
        if not box.left():
            return deaths
    raise AssertionError(box.log.read_text())


@pytest.mark.parametrize(
    ("end", "deadly"), [(kill_process, Deadly), (fail_gpu, Deadly), (fail_gpu, DeadlyBefore)]
)
@pytest.mark.parametrize("boxes", ["folder_box", "bucket_box"])
def test_a_pair_fails_after_three_runners_died_with_it_and_the_others_are_done(
    boxes: str,
    end: Callable[[], None],
    deadly: type[Deadly],
    stylizer: Stylizer,
    request: pytest.FixtureRequest,
) -> None:
    make: Callable[[], Box] = request.getfixturevalue(boxes)
    box = make()
    box.fill(["a", "z"])
    poison(box, "m", ["p0"], "p1", ["p2", "p3"])
    assert runners_until_all_ended(box, deadly(stylizer, end)) == 3
    assert box.names("done") == {"a.json", "z.json"}
    assert box.names("failed") == {"m.json", "m.error.json"}
    (error,) = json.loads(box.inbox.read("failed/m.error.json", LIMIT))["errors"]
    assert (error["place"], error["id"]) == ("pairs[1]", "p1")
    assert error["message"].startswith("3 runners have died while they worked on this pair")
    assert box.results("m") == ["m/p0", "m/p2", "m/p3"]
    assert [box.results(name) for name in ("a", "z")] == [
        [f"{n}/{pair}" for pair in PAIRS] for n in ("a", "z")
    ]
    Inbox(box.inbox).retry("m")
    assert runners_until_all_ended(box, Instant(stylizer)) == 0
    assert box.results("m") == ["m/p0", "m/p1", "m/p2", "m/p3"]


class Mortal(Instant):
    """Kills its process at its second pair, after the first pair is published."""

    def __init__(self, stylizer: Stylizer, box: Box) -> None:
        super().__init__(stylizer)
        self._box, self._done = box, len(box.results("m"))
        self._count = 0

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        self._count += 1
        if self._count == 2:
            while len(self._box.results("m")) == self._done:
                time.sleep(0.01)  # nothing announces a file in a bucket
            os.kill(os.getpid(), signal.SIGKILL)
        return super().run(pairs)


@pytest.mark.parametrize("boxes", ["folder_box", "bucket_box"])
def test_a_manifest_does_not_fail_if_a_pair_is_done_before_each_death(
    boxes: str, stylizer: Stylizer, request: pytest.FixtureRequest
) -> None:
    make: Callable[[], Box] = request.getfixturevalue(boxes)
    box = make()
    pairs = [f"p{number}" for number in range(7)]
    box.fill(["m"], pairs)
    deaths = 0
    while box.left():
        deaths += os.WIFSIGNALED(box.work(Mortal(stylizer, box)))
    assert deaths == len(pairs) - 1
    assert box.names("done") == {"m.json"}
    assert box.results("m") == [f"m/{pair}" for pair in pairs]


def test_a_runner_without_progress_ends_and_the_next_runner_does_the_pair(tmp_path: Path) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    make_picture(seed=1).save(inbox / "a.png")
    (inbox / "m.json").write_text(
        json.dumps({"content": "a.png", "style": "a.png", "epochs": 1, "max_size": 32})
    )
    arguments = ("watch", "--inbox", inbox, "--outbox", tmp_path / "out")
    scans = {"scan": 0.05, "scan_rest": 0.0, "cancelled": 0.05}  # which go on, and are no progress
    with Runner(*arguments, timing={"stuck": 1, **scans}, engine="stuck") as runner:
        assert runner.finish() == 1
        assert runner.events[-1]["event"].startswith("no progress for")
        assert runner.events[-1]["level"] == "error"
    with Runner(*arguments, "--once", engine="fake") as second:
        assert second.finish() == 0
        assert second.count("pair done") == 1
