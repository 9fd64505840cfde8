"""A runner is killed at each step it takes on disk or with a bucket; whoever comes next puts all right."""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.client import BaseClient

from manifests.demo_s3 import BUCKET
from nst import Pair, Stylizer
from nst.result import Evaluation, Losses, Result
from pipeline import inbox as inbox_module
from pipeline.aws import connect
from pipeline.engines import local
from pipeline.outbox import Outbox
from pipeline.progress import JsonLines
from pipeline.settings import Settings
from pipeline.stores import lease
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store
from tests.conftest import make_png
from tests.pipeline.outcome import assert_whole, documents

PAIRS = ("p0", "p1")
ON_DISK = {"open", "os.mkdir", "os.rename", "os.remove", "os.link", "os.truncate", "shutil.rmtree"}
STATES = ("", "processing", "done", "failed")


class Instant(Stylizer):
    """Gives the content back, so that nothing takes time but what can be interrupted."""

    def __init__(self, stylizer: Stylizer) -> None:
        self.weights, self.device, self.dtype = stylizer.weights, stylizer.device, stylizer.dtype

    def run(self, pairs: Sequence[Pair], on_evaluation: Any = None) -> list[Result]:
        losses = Losses(1.0, 1.0, 0.0, 2.0)
        evaluations = [Evaluation(1, 1, 32, losses, 0.1)]
        return [Result(pair.contents[-1], losses, evaluations, 0.1) for pair in pairs]


@dataclass
class Box:
    """An inbox with one manifest, an outbox, and what all runners log."""

    inbox: Store
    outbox: Store
    log: Path
    endpoint_url: str | None = None

    def fill(self) -> None:
        for seed, name in enumerate(("a.png", "b.png")):
            self.inbox.write(name, make_png(32, 32, seed))
        pairs = [{"id": name, "content": "a.png", "style": "b.png", "max_size": 32} for name in PAIRS]
        self.inbox.write("m.json", json.dumps({"pairs": pairs}).encode())

    def work(self, stylizer: Stylizer, steps: int = sys.maxsize) -> int:
        """A runner in a process of its own, killed before the step after `steps`; its wait status."""
        child = os.fork()
        if not child:
            try:
                with self.log.open("a", buffering=1) as log:
                    self._run(stylizer, JsonLines(log), steps)
            except BaseException:
                traceback.print_exc()
            os._exit(99)
        return os.waitpid(child, 0)[1]

    def _run(self, stylizer: Stylizer, listener: JsonLines, steps: int) -> None:
        setattr(local, "Stylizer", lambda *_: stylizer)  # noqa: B010
        stores = Stores(self.endpoint_url)
        inbox, outbox = stores.inbox(self.inbox.url), stores.outbox(self.outbox.url)
        engine = local.LocalEngine(Settings(poll=True), stores, Outbox(outbox), listener)
        arm(steps, [self.inbox.url, self.outbox.url])
        os._exit(engine.watch(inbox, once=True, schedule=None))

    def names(self, folder: str) -> set[str]:
        return documents(self.inbox, folder)

    def events(self) -> list[str]:
        return [json.loads(line)["event"] for line in self.log.read_text().splitlines()]


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


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "_SETTLED", 0.0)
    monkeypatch.setattr(lease, "LEASE", 1.0)


@pytest.fixture
def folder_box(tmp_path: Path) -> Callable[[], Box]:
    def make() -> Box:
        root = tmp_path / uuid4().hex
        return Box(FolderStore.make(root / "in"), FolderStore.make(root / "out"), root / "log")

    return make


@pytest.fixture
def bucket_box(tmp_path: Path, seaweed: str) -> Callable[[], Box]:
    client = connect("s3", seaweed)

    def make() -> Box:
        run = uuid4().hex
        inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
        return Box(inbox, outbox, tmp_path / run, seaweed)

    return make


# Of a bucket only every third step, as a lease takes its time to lapse.
@pytest.mark.parametrize(("boxes", "stride"), [("folder_box", 1), ("bucket_box", 3)])
def test_wherever_a_runner_dies_nothing_is_lost_or_doubled(
    boxes: str, stride: int, stylizer: Stylizer, request: pytest.FixtureRequest
) -> None:
    make, instant, steps = request.getfixturevalue(boxes), Instant(stylizer), 0
    while True:
        box = make()
        box.fill()
        ended = box.work(instant, steps)
        found = {state for state in STATES if "m.json" in box.names(state)}
        assert found and "failed" not in found, steps
        for record in results(box.outbox):
            assert_whole(box.outbox, record)
        while box.names("") | box.names("processing"):
            assert box.work(instant) == 0, box.log.read_text()
        assert box.names("done") == {"m.json"}
        assert results(box.outbox) == [f"m/{name}" for name in PAIRS]
        assert box.events().count("pair done") <= len(PAIRS)
        if os.WIFEXITED(ended):
            assert os.WEXITSTATUS(ended) == 0
            break
        assert os.WTERMSIG(ended) == signal.SIGKILL
        steps += stride
    assert steps > 20  # it did die at many a place


def results(outbox: Store) -> list[str]:
    return sorted(f"m/{name.removesuffix('.json')}" for name in documents(outbox, "m"))
