"""An inbox, an outbox, and runners in processes of their own that do everything but the optimising."""

import json
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

from manifests.demo_s3 import BUCKET
from nst import PreparedPair, Stylizer
from nst.result import Evaluation, Losses, Result
from pipeline.engines import local
from pipeline.errors import UnavailableError
from pipeline.events.log import JsonLines
from pipeline.inbox import inbox as inbox_module
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores import lease
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store
from tests.conftest import make_png
from tests.pipeline.outcome import documents

PAIRS = ("p0", "p1")
BROKEN = 99  # how a runner exits that meets what it can not go on after


class Instant(Stylizer):
    """Gives the content back, so that nothing takes time but what can be interrupted."""

    def __init__(self, stylizer: Stylizer) -> None:
        self.weights, self.device, self.dtype = stylizer.weights, stylizer.device, stylizer.dtype

    def run(self, pairs: Sequence[PreparedPair], on_evaluation: Any = None) -> list[Result]:
        losses = Losses(1.0, 1.0, 0.0, 2.0)
        evaluations = [Evaluation(1, 1, 32, losses, 0.1)]
        return [Result(pair.contents[-1], losses, evaluations, 0.1) for pair in pairs]


@dataclass
class Box:
    """An inbox and an outbox, and what all runners log."""

    inbox: Store
    outbox: Store
    log: Path
    endpoint_url: str | None = None

    def fill(self, names: Sequence[str] = ("m",), pairs: Sequence[str] = PAIRS) -> None:
        """Drop manifests that each have these pairs, of two images."""
        for seed, name in enumerate(("a.png", "b.png")):
            self.inbox.write(name, make_png(32, 32, seed))
        listed = [{"id": pair, "content": "a.png", "style": "b.png", "max_size": 32} for pair in pairs]
        for name in names:
            self.inbox.write(f"{name}.json", json.dumps({"pairs": listed}).encode())

    def start(self, stylizer: Stylizer, before: Callable[[], None] = lambda: None) -> int:
        """A runner that works off what is there, and calls `before` once it has begun; its process id."""
        child = os.fork()
        if not child:
            try:
                with self.log.open("a", buffering=1) as log:
                    self._run(stylizer, JsonLines(log), before)
            except BaseException:
                traceback.print_exc()
            os._exit(BROKEN)
        return child

    def work(self, stylizer: Stylizer, before: Callable[[], None] = lambda: None) -> int:
        """The same, waited for; its wait status."""
        return os.waitpid(self.start(stylizer, before), 0)[1]

    def _run(self, stylizer: Stylizer, listener: JsonLines, before: Callable[[], None]) -> None:
        setattr(local, "make_stylizer", lambda *_: stylizer)  # noqa: B010
        stores = Stores(self.endpoint_url)
        try:
            inbox, outbox = stores.inbox(self.inbox.url), stores.outbox(self.outbox.url)
        except UnavailableError:
            before()
            os._exit(1)  # as the program does
        engine = local.LocalEngine(Settings(poll=True), stores, Outbox(outbox), listener)
        before()
        os._exit(engine.watch(inbox, once=True, schedule=None))

    def names(self, folder: str) -> set[str]:
        """Manifests in a folder of the inbox."""
        return documents(self.inbox, folder)

    def results(self, name: str) -> list[str]:
        """Keys of a manifest's records in the outbox, without their ending."""
        return sorted(f"{name}/{record.removesuffix('.json')}" for record in documents(self.outbox, name))

    def left(self) -> set[str]:
        """Manifests that have not ended."""
        return self.names("") | self.names("processing")

    def events(self) -> list[dict[str, Any]]:
        """All that the runners have logged so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def in_folder(root: Path) -> Box:
    """A new box of two folders."""
    place = root / uuid4().hex
    return Box(FolderStore.make(place / "in"), FolderStore.make(place / "out"), place / "log")


def in_bucket(root: Path, client: Any) -> Box:
    """A new box in the bucket of a real S3 server; what its runners log goes to a file below `root`."""
    run = uuid4().hex
    inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
    return Box(inbox, outbox, root / run, client.meta.endpoint_url)


@contextmanager
def hurried() -> Iterator[None]:
    """Files count as written at once, and leases lapse after a second."""
    with mock.patch.object(inbox_module, "_SETTLED", 0.0), mock.patch.object(lease, "LEASE", 1.0):
        yield
