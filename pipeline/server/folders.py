"""The results of manifests, as listings of their folders in the outbox show them. No record is read."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.server.kept import kept_for, listed_for
from pipeline.server.pictures import SUFFIXES
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing

_MOST_FOLDERS, _MOST_RESULTS = 256, 100_000  # that are kept


@dataclass(frozen=True)
class Shown:
    """A pair that is done: the file name of its picture, and when its record was written (epoch seconds)."""

    picture: str
    finished: float


Results = Mapping[str, Shown]  # by pair
Ended = tuple[str, float]  # the state of a manifest, and when it was changed last


@dataclass(frozen=True)
class _Listing:
    """The results of a manifest, and until when they are used: `longest`, if it is known to have ended."""

    results: Results
    ended: Ended | None
    until: float
    longest: float


class Folders:
    """Lists folders of the outbox, and keeps the listings for some seconds. Threads may share it."""

    def __init__(self, store: Store, timing: Timing) -> None:
        self._store = store
        self._seconds = listed_for(store, timing)
        self._longest = timing.listing
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, _Listing] = OrderedDict()
        self._size = 0  # results that are kept

    def results(self, manifest: str, ended: Ended | None = None) -> Results:
        """The pairs of a manifest that are done, by name. Raises `StoreError`.

        With `ended`, which says how and when the manifest has ended, a listing is used for longer, if it was
        made for the same end.
        """
        began = time.monotonic()
        with self._lock:
            kept = self._kept.get(manifest)
        if kept and began < (kept.longest if ended and kept.ended == ended else kept.until):
            return kept.results
        found = _results(self._store.entries(manifest))
        now = time.monotonic()
        until = now + kept_for(self._seconds, now - began)
        self._keep(manifest, _Listing(found, ended, until, now + self._longest))
        return found

    def _keep(self, manifest: str, listing: "_Listing") -> None:
        with self._lock:
            earlier = self._kept.pop(manifest, None)
            self._kept[manifest] = listing
            self._size += len(listing.results) - (len(earlier.results) if earlier else 0)
            while len(self._kept) > _MOST_FOLDERS or (self._size > _MOST_RESULTS and len(self._kept) > 1):
                self._size -= len(self._kept.popitem(last=False)[1].results)


def _results(entries: Iterable[Entry]) -> Results:
    """A pair is done when its record `ID.json` is there."""
    times = {entry.name: entry.modified for entry in entries}
    found = {}
    for name, modified in times.items():
        pair = name.removesuffix(".json")
        picture = next((pair + suffix for suffix in SUFFIXES if pair + suffix in times), None)
        if pair != name and picture:
            found[pair] = Shown(picture, modified)
    return found
