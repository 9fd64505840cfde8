"""What all routes of the door share."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar, cast

from fastapi import Request

from pipeline.errors import UnavailableError
from pipeline.events.metrics import Metrics
from pipeline.inbox.layout import PROCESSING
from pipeline.outbox.outbox import Outbox
from pipeline.server.expanded import Expanded
from pipeline.server.folders import Folders
from pipeline.server.hub import Hub
from pipeline.server.kept import Kept, listed_for
from pipeline.server.states import times_by_state
from pipeline.server.taking import Backlog, Taking
from pipeline.server.thumbnails import Thumbnails
from pipeline.server.uploads import Uploads
from pipeline.server.watching import Watching
from pipeline.settings import Settings
from pipeline.stores.base import Store
from pipeline.stores.sources import Sources
from pipeline.work.session import Session

T = TypeVar("T")

_READERS = 16  # threads that wait for stores
_TAKERS, _SHRINKERS = 2, 2  # threads that decode what comes in and write it; threads that make small pictures

_UPLOADS = 16  # all bodies on their way together may have as many bytes as this many of the largest


@dataclass(eq=False)
class Door:
    """The stores, the settings, and the threads in which everything happens that takes time.

    `suffix_of` decodes an image and returns the suffix of its format; `small` makes a small JPEG of a
    picture. `works` says whether a runner works in this process.
    """

    inbox: Store
    outbox: Outbox
    sources: Sources
    settings: Settings
    session: Session
    hub: Hub
    metrics: Metrics
    suffix_of: Callable[[bytes], str]
    small: Callable[[bytes], bytes]
    works: bool

    def __post_init__(self) -> None:
        timing = self.session.timing
        counted = timing.scan_bucket if self.inbox.atomic else timing.counted
        self.uploads = Uploads(_UPLOADS * (self.settings.max_upload << 20))
        self.backlog = Backlog(self.inbox, self.settings.most_waiting, counted)
        self.taking = Taking(self.inbox, self.outbox, self.settings.caps, self.backlog, self.suffix_of)
        listed = listed_for(self.inbox, timing)
        self.listed = Kept(partial(times_by_state, self.inbox), listed)
        self.reached = Kept(self._reach_stores, listed)
        self.watching = Watching(
            partial(self.read, self.listed.get), self.hub, self.inbox.idle_interval, self.session.warn
        )
        self.folders = Folders(self.outbox.store, timing)
        self.expanded = Expanded(self.sources, self.settings.caps, timing.listing)
        self.thumbnails = Thumbnails(self.outbox.store, self.small)
        self._readers = ThreadPoolExecutor(_READERS, "door")
        self._takers = ThreadPoolExecutor(_TAKERS, "take in")
        self._shrinkers = ThreadPoolExecutor(_SHRINKERS, "thumbnails")

    def _reach_stores(self) -> None:
        """Raises `StoreError` if inbox or outbox cannot be used now."""
        self.inbox.entries(PROCESSING)
        if not self.outbox.store.exists():
            raise UnavailableError(f"{self.outbox.store.url}: no such folder or bucket")

    async def read(self, action: Callable[[], T]) -> T:
        """The result of an action that waits for a store."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, action)

    async def take_in(self, action: Callable[[], T]) -> T:
        """The result of an action that decodes images and writes to the inbox.

        The action runs to its end, also if the client leaves.
        """
        return await asyncio.get_running_loop().run_in_executor(self._takers, action)

    async def shrink(self, action: Callable[[], T]) -> T:
        """The result of an action that decodes a picture, for which it may wait until memory is free."""
        return await asyncio.get_running_loop().run_in_executor(self._shrinkers, action)


def door_of(request: Request) -> Door:
    """The door that a request came to."""
    return cast(Door, request.app.state.door)
