"""A door on a free port of this machine, with stores in memory and, unless a test wants none, a runner."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from pipeline.engines.base import Outcome, Task
from pipeline.engines.fake import FakeEngine
from pipeline.engines.intake import small_picture, suffix_of_image
from pipeline.events.listener import FanOut, WatchBegan
from pipeline.events.metrics import Metrics
from pipeline.events.recording import RecordingListener
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.server.access import access_of
from pipeline.server.app import make_app
from pipeline.server.door import Door
from pipeline.server.hub import Hub
from pipeline.server.serving import Serving, bound
from pipeline.settings import Settings
from pipeline.stores.base import Store
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work.feed import InboxFeed
from pipeline.work.owner import Owner
from pipeline.work.session import Session
from tests.conftest import make_png
from tests.pipeline.server.browser import chromium as chromium
from tests.pipeline.server.browser import visit as visit

# The door does not look at the stores by itself within the time of a test, so that a missed event shows.
QUICK = Timing(
    scan=0.0, scan_rest=0.0, cancelled=0.01, look_bucket_last=3600, scan_bucket=0.0, listed_bucket=0.0
)
CONTENT, STYLE = make_png(seed=1), make_png(64, 64, seed=2)
FORM = {"content_image": ("content.jpg", CONTENT), "style_image": ("style.jpg", STYLE)}


@dataclass
class Served:
    """A door, and a runner in the same process if it works."""

    works: bool = True
    before: Callable[[Task], Outcome | None] = lambda task: None
    batch: int = 1
    timing: Timing = QUICK
    settings: Settings = field(default_factory=lambda: Settings(port=0))
    at: "Served | None" = None  # another door, with which this one shares inbox and outbox
    places: tuple[Store, Store] | None = None  # inbox and outbox, if they are not in memory
    endpoint_url: str | None = None
    inbox: MemoryStore = field(init=False)
    outbox: MemoryStore = field(init=False)

    def __post_init__(self) -> None:
        self.listener, self.hub, self.metrics = RecordingListener(), Hub(), Metrics()
        stores = Stores(self.endpoint_url, self.timing)
        inbox, outbox = self.places or self._in_memory()
        # The runner opens buckets once more, as in the program. Stores in memory are the same.
        worked, filled = stores.open(inbox.url), Outbox(stores.open(outbox.url))
        self.session = Session(FanOut([self.metrics, self.listener, self.hub]), self.timing)
        sources = stores.sources(worked.url, results_among=filled.results_among)
        self.engine = FakeEngine(stores, self.before, self.batch)
        self.owner = Owner(self.engine, filled, self.session)
        self.feed = InboxFeed(Inbox(worked, self.timing), sources, filled, Trigger(), self.session)
        self.door = Door(
            inbox=inbox,
            outbox=Outbox(outbox),
            sources=sources,
            settings=self.settings,
            session=self.session,
            hub=self.hub,
            metrics=self.metrics,
            suffix_of=lambda data: suffix_of_image(data, self.settings.caps.pixels),
            small=small_picture,
            works=self.works,
        )
        listening = bound(self.settings.host, self.settings.port)
        self.port: int = listening.getsockname()[1]
        app = make_app(self.door, access_of(self.settings))
        self.serving = Serving(app, listening, self.hub, self.session)
        self.serving.start()
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)
        self.watches = threading.Event()
        self.worker = threading.Thread(target=self.work, daemon=True)
        if self.works:
            self.worker.start()
            assert self.watches.wait(60)

    def _in_memory(self) -> tuple[Store, Store]:
        """New stores in memory, or those of the other door."""
        if self.at:
            self.inbox, self.outbox = self.at.inbox, self.at.outbox
        else:
            name = uuid4().hex
            self.inbox, self.outbox = (MemoryStore(f"{name}-{end}", timing=self.timing) for end in ("i", "o"))
        return self.inbox, self.outbox

    def work(self) -> None:
        """Work on what comes, until the session stops."""
        self.owner.start()
        self.session.listener.hear(WatchBegan("inbox", "outbox"))
        self.watches.set()
        while not self.session.stop.is_set():
            self.feed.begin()
            self.owner.work(self.feed)
            if not self.session.stop.is_set():
                self.session.wake.wait(60)
        self.owner.close()
        self.feed.hand_back()

    def stylize(self, headers: dict[str, str] | None = None, **fields: Any) -> httpx.Response:
        """Send two pictures and these fields."""
        return self.client.post("/stylize", files=FORM, data=fields, headers=headers)

    def manifest(self, name: str, folder: str = "done/") -> dict[str, Any]:
        """A manifest in the inbox."""
        found: dict[str, Any] = json.loads(self.inbox.read(f"{folder}{name}.json", 10**6))
        return found

    def files(self) -> list[str]:
        """The keys of all files in the inbox."""
        return self.inbox.glob("**")

    def close(self) -> None:
        self.session.end_soon()
        self.client.close()
        self.serving.join()
        if self.works:
            self.worker.join(10)


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that opens doors. They are closed at the end of the test."""
    opened: list[Served] = []

    def make(**options: Any) -> Served:
        opened.append(Served(**options))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


@pytest.fixture
def served(serve: Serve) -> Served:
    """A door with a runner."""
    return serve()


class Gate:
    """Holds an engine until it is opened. Give it to a door as `before`."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, task: Task) -> None:
        self.reached.set()
        assert self.opened.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()
