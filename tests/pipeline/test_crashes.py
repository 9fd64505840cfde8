"""A runner is killed at each step it takes on disk or with a bucket; whoever comes next puts all right."""

import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.client import BaseClient
from PIL import Image

from manifests.demo_s3 import BUCKET
from nst import Pair, Stylizer
from nst.result import Evaluation, Losses, Result
from pipeline import inbox as inbox_module
from pipeline.aws import connect
from pipeline.engines import local
from pipeline.errors import NotFoundError
from pipeline.outbox import Outbox
from pipeline.progress import JsonLines
from pipeline.settings import Settings
from pipeline.stores import lease
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store
from tests.conftest import make_picture

LIMIT = 10**6
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
            picture = io.BytesIO()
            make_picture(32, 32, seed).save(picture, "PNG")
            self.inbox.write(name, picture.getvalue())
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
        try:
            return {entry.name for entry in self.inbox.entries(folder) if entry.name.endswith(".json")}
        except NotFoundError:
            return set()

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


@pytest.fixture(params=["folder", "bucket"])
def boxes(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Iterator[Box]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inbox_module, "_SETTLED", 0.0)
        patch.setattr(lease, "LEASE", 1.0)

        def make() -> Iterator[Box]:
            while True:
                run = uuid4().hex
                log = tmp_path / f"{run}.log"
                inbox: Store
                outbox: Store
                endpoint_url = None
                if request.param == "folder":
                    inbox, outbox = (FolderStore.make(tmp_path / run / name) for name in ("in", "out"))
                else:
                    endpoint_url = request.getfixturevalue("seaweed")
                    client = connect("s3", endpoint_url)
                    inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
                box = Box(inbox, outbox, log, endpoint_url)
                box.fill()
                yield box

        yield make()


def test_wherever_a_runner_dies_nothing_is_lost_or_doubled(boxes: Iterator[Box], stylizer: Stylizer) -> None:
    instant, steps = Instant(stylizer), 0
    stride = 1 if isinstance(next(boxes).inbox, FolderStore) else 3  # a lease takes its time to lapse
    while True:
        box = next(boxes)
        ended = box.work(instant, steps)
        found = {state for state in STATES if "m.json" in box.names(state)}
        assert found and "failed" not in found, steps
        for record in results(box.outbox):
            whole(box.outbox, record)
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
    try:
        entries = [entry.name for entry in outbox.entries("m")]
    except NotFoundError:
        return []
    return sorted(f"m/{name.removesuffix('.json')}" for name in entries if name.endswith(".json"))


def whole(outbox: Store, key: str) -> None:
    record = json.loads(outbox.read(f"{key}.json", LIMIT))
    assert len(outbox.read(f"{key}.loss.jsonl", LIMIT).splitlines()) == record["evaluations"]
    with Image.open(io.BytesIO(outbox.read(f"{key}.png", LIMIT))) as picture:
        picture.load()
