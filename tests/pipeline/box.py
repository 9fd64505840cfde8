"""An inbox, an outbox, and runners in separate processes.

Those of `Box.start` do everything except the optimisation. Those of `Box.watch` are the program.
"""

import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch

from manifests.demo_s3 import BUCKET
from nst import PreparedPair, Stylizer
from nst.result import Evaluation, Losses, Result
from pipeline.engines.local import LocalEngine
from pipeline.errors import UnavailableError
from pipeline.events.log import JsonLines
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.aws import connect
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from pipeline.work.session import Session
from pipeline.work.watch import Watch
from tests.conftest import make_png
from tests.pipeline.outcome import documents
from tests.process import Runner

PAIRS = ("p0", "p1")
BROKEN = 99  # exit code of a runner that raised an exception
# Files count as written at once, leases expire soon.
BRIEF = Timing(settled=0.0, lease=1.0, lease_renewal=0.25)


class Instant(Stylizer):
    """Returns the content as the result, so that almost all time is spent with files and requests."""

    def __init__(self, stylizer: Stylizer) -> None:
        self.weights, self.device, self.dtype = stylizer.weights, stylizer.device, stylizer.dtype
        self.targets = stylizer.targets

    def capacity(self, pair: PreparedPair) -> int:
        return 1

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        losses = Losses(1.0, 1.0, 0.0, 2.0)
        evaluations = [Evaluation(1, 1, 32, losses, 0.1)]
        return [Result(pair.contents[-1], losses, 1e6, evaluations, 0.1) for pair in pairs]


@dataclass
class Box:
    """An inbox, an outbox, and the log of all runners."""

    inbox: Store
    outbox: Store
    log: Path
    endpoint_url: str | None = None
    timing: Timing = BRIEF
    client: Any = None  # boto3's client of S3, in a runner's process
    outbox_of: Callable[[Store], Any] = lambda store: store  # what runners use in place of the outbox

    def fill(self, names: Sequence[str] = ("m",), pairs: Sequence[str] = PAIRS) -> None:
        """Write two images, and manifests that each have these pairs of them."""
        for seed, name in enumerate(("a.png", "b.png")):
            self.inbox.write(name, make_png(32, 32, seed))
        for name in names:
            self.drop(name, *({"id": pair} for pair in pairs))

    def drop(self, name: str, *pairs: Mapping[str, object]) -> None:
        """Write a manifest of pairs of the two images, called p0, p1, ..., with these keys."""
        images = {"content": "a.png", "style": "b.png", "max_size": 32}
        listed = [{"id": f"p{number}", **images, **pair} for number, pair in enumerate(pairs)]
        self.inbox.write(f"{name}.json", json.dumps({"pairs": listed}).encode())

    @property
    def places(self) -> list[str]:
        """The options of the program that name the inbox and its server."""
        server = ["--endpoint-url", self.endpoint_url] if self.endpoint_url else []
        return ["--inbox", self.inbox.url, *server]

    def watch(self, *options: str, timing: Mapping[str, float] | None = None, engine: str = "fake") -> Runner:
        """Start the program as a runner; see `Runner`."""
        arguments = ["watch", *self.places, "--outbox", self.outbox.url, *options]
        return Runner(*arguments, timing=timing, engine=engine)

    def start(self, stylizer: Stylizer, before: Callable[[], None] = lambda: None) -> int:
        """Start a runner for all manifests in the inbox; its process id. It calls `before` when it begins."""
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
        """Start such a runner and wait until it ends; its wait status."""
        return os.waitpid(self.start(stylizer, before), 0)[1]

    def _run(self, stylizer: Stylizer, listener: JsonLines, before: Callable[[], None]) -> None:
        if self.endpoint_url:
            self.client = connect("s3", self.endpoint_url, timing=self.timing)
        stores = Stores(self.endpoint_url, self.timing, self.client)
        try:
            inbox, outbox = stores.inbox(self.inbox.url), stores.outbox(self.outbox.url)
        except UnavailableError:
            before()
            os._exit(1)  # as the program does
        # With one thread, it is not measured how many pairs go side by side. An `Instant` computes nothing.
        torch.set_num_threads(1)
        engine = LocalEngine(Settings(), stores, self.timing, lambda settings: stylizer)
        session = Session(listener, self.timing)
        box = Inbox(inbox, self.timing)
        watch = Watch(box, engine, Outbox(self.outbox_of(outbox)), stores, [], Trigger(), session)
        before()
        os._exit(watch.run(once=True, schedule=None))

    def names(self, folder: str) -> set[str]:
        """Manifests in a folder of the inbox."""
        return documents(self.inbox, folder)

    def results(self, name: str) -> list[str]:
        """Keys of the records of a manifest in the outbox, without their suffix."""
        return sorted(f"{name}/{record.removesuffix('.json')}" for record in documents(self.outbox, name))

    def left(self) -> set[str]:
        """Manifests that have not ended."""
        return self.names("") | self.names("processing")

    def events(self) -> list[dict[str, Any]]:
        """All log lines of the runners so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def in_folder(root: Path) -> Box:
    """A new box of two folders."""
    place = root / uuid4().hex
    inbox, outbox = FolderStore(place / "in"), FolderStore(place / "out")
    for store in (inbox, outbox):
        store.make()
    return Box(inbox, outbox, place / "log")


def in_bucket(root: Path, client: Any) -> Box:
    """A new box in the bucket of a real S3 server; the log of its runners is a file in `root`."""
    run = uuid4().hex
    inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
    return Box(inbox, outbox, root / run, client.meta.endpoint_url)
