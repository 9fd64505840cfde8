"""The results of manifests, as listings of their folders in the outbox show them. No record is read."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.stores.base import Entry, Store

PICTURES = (".png", ".jpg", ".webp")  # of the files of pictures
_MOST_FOLDERS, _MOST_RESULTS = 256, 100_000  # that are kept
_REST = 10.0  # a listing is used for this many times the seconds that it took: a factor


@dataclass(frozen=True)
class Shown:
    """A pair that is done: the file name of its picture, and when its record was written (epoch seconds)."""

    picture: str
    finished: float


Results = Mapping[str, Shown]  # by pair


class Folders:
    """Lists folders of the outbox, and keeps the listings for some seconds. Threads may share it."""

    def __init__(self, store: Store, seconds: float) -> None:
        self._store, self._seconds = store, seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[float, Results]] = OrderedDict()  # until when, and what
        self._size = 0  # results that are kept

    def results(self, manifest: str) -> Results:
        """The pairs of a manifest that are done, by name. Raises `StoreError`."""
        began = time.monotonic()
        with self._lock:
            until, found = self._kept.get(manifest, (0.0, {}))
        if began < until:
            return found
        found = _results(self._store.entries(manifest))
        took = time.monotonic() - began
        kept = max(self._seconds, _REST * took) if self._seconds else 0.0
        self._keep(manifest, began + took + kept, found)
        return found

    def _keep(self, manifest: str, until: float, found: Results) -> None:
        with self._lock:
            _, earlier = self._kept.pop(manifest, (0.0, {}))
            self._kept[manifest] = until, found
            self._size += len(found) - len(earlier)
            while len(self._kept) > _MOST_FOLDERS or (self._size > _MOST_RESULTS and len(self._kept) > 1):
                _, (_, oldest) = self._kept.popitem(last=False)
                self._size -= len(oldest)


def _results(entries: Iterable[Entry]) -> Results:
    """A pair is done when its record `ID.json` is there."""
    times = {entry.name: entry.modified for entry in entries}
    found = {}
    for name, modified in times.items():
        pair = name.removesuffix(".json")
        picture = next((pair + suffix for suffix in PICTURES if pair + suffix in times), None)
        if pair != name and picture:
            found[pair] = Shown(picture, modified)
    return found
