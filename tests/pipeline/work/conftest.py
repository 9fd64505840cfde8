"""A runner without a device, with an inbox and an outbox in memory and two images."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from pipeline.engines.base import Outcome, Task
from pipeline.engines.fake import FakeEngine
from pipeline.events.listener import FanOut, Listener, ManifestStarted
from pipeline.events.recording import RecordingListener
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work.feed import InboxFeed
from pipeline.work.owner import Owner
from pipeline.work.session import Session

# Nothing happens by itself within the time of a test, so that a missed wake-up makes it fail.
QUICK = Timing(retry_first=0.01, retry_last=0.01, cancelled=3600, scan=0.0, scan_rest=0.0, put_off=3600)


@dataclass
class Shop:
    """One runner in this process, with an inbox and an outbox in memory."""

    before: Callable[[Task], Outcome | None] = lambda task: None
    batch: int = 1
    timing: Timing = QUICK
    at: "Shop | None" = None  # another runner that shares its inbox and outbox with this one
    view: Callable[[MemoryStore], Any] = lambda store: store  # how this runner sees the outbox
    hearing: Sequence[Listener] = ()  # what hears each event before `listener` does
    inbox: MemoryStore = field(init=False)
    outbox: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.inbox, self.outbox = (self.at.inbox, self.at.outbox) if self.at else self._make_stores()
        self.listener, self.stores = RecordingListener(), Stores(timing=self.timing)
        self.session = Session(FanOut([*self.hearing, self.listener]), self.timing)
        self.engine = FakeEngine(self.stores, self.before, self.batch)
        outbox = Outbox(self.view(self.outbox))
        sources = self.stores.sources(self.inbox.url, results_among=outbox.results_among)
        self.box = Inbox(self.inbox, self.timing)
        self.feed = InboxFeed(self.box, sources, outbox, Trigger(), self.session)
        self.owner = Owner(self.engine, outbox, self.session)

    def _make_stores(self) -> tuple[MemoryStore, MemoryStore]:
        name = uuid4().hex
        inbox, outbox = (MemoryStore(f"{name}-{end}", timing=self.timing) for end in ("in", "out"))
        inbox.idle_interval = 3600.0
        for image in ("a.png", "b.png"):
            inbox.write(image, image.encode())
        return inbox, outbox

    def drop(self, name: str, pairs: int = 1, **keys: object) -> None:
        """Write a manifest with the pairs p0, p1, ... into the inbox."""
        listed = [{"id": f"p{n}", "content": "a.png", "style": "b.png", "seed": n} for n in range(pairs)]
        self.inbox.write(f"{name}.json", json.dumps({"pairs": listed, **keys}).encode())

    def die_with(self, name: str) -> None:
        """Claim a manifest, as a runner does that dies with it."""
        key = f"processing/{name}.json"
        assert self.inbox.claim(f"{name}.json", key)
        self.inbox.abandon(key)

    def work(self) -> None:
        """Work until no manifest is left, then close."""
        try:
            self.owner.start()
            self.feed.begin()
            self.owner.work(self.feed)
        finally:
            self.owner.close()

    def in_background(self) -> threading.Thread:
        """Start a thread that works until no manifest is left, then closes."""
        thread = threading.Thread(target=self.work, daemon=True)
        thread.start()
        return thread

    def manifests(self, folder: str) -> list[str]:
        """The manifests and error files in a folder of the inbox."""
        return [entry.name for entry in self.inbox.entries(folder) if entry.name.endswith(".json")]

    def errors(self, name: str) -> list[dict[str, str]]:
        """The errors in the error file of a manifest."""
        text = self.inbox.read(f"failed/{name}.error.json", 10**6)
        found: list[dict[str, str]] = json.loads(text)["errors"]
        return found

    def inbox_has_in_processing(self, count: int) -> None:
        """Wait until so many manifests are worked on."""
        self.listener.wait_for(ManifestStarted, lambda event: len(self.manifests("processing")) >= count)

    def handed_out(self) -> list[str]:
        """The pairs that the engine has received, as manifest/pair, in this order."""
        return [f"{task.manifest}/{task.pair.id}" for task in self.engine.tasks]


@pytest.fixture
def shop() -> Iterator[Callable[..., Shop]]:
    """A function that makes runners. They are stopped at the end of the test."""
    made: list[Shop] = []

    def make(**options: object) -> Shop:
        made.append(Shop(**options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for each in made:
        each.session.end_soon()
