"""The results of manifests, as listings of their folders in the outbox show them. No record is read."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline.cache import Cache
from pipeline.server.kept import kept_for, listed_for
from pipeline.server.pictures import SUFFIXES
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing

_KEPT = 100_000  # results that are kept
_OWN = 10  # results whose memory a listing takes itself


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
        self._kept = Cache(_KEPT, _size)

    def results(self, manifest: str, ended: Ended | None = None) -> Results:
        """The pairs of a manifest that are done, by name. Raises `StoreError`.

        With `ended`, which says how and when the manifest has ended, a listing is used for longer, if it was
        made for the same end.
        """
        began = time.monotonic()
        kept = self._kept.find(manifest)
        if kept and began < (kept.longest if ended and kept.ended == ended else kept.until):
            return kept.results
        found = _results(self._store.entries(manifest))
        now = time.monotonic()
        until = now + kept_for(self._seconds, now - began)
        self._kept.keep(manifest, _Listing(found, ended, until, now + self._longest))
        return found


def _size(listing: _Listing) -> int:
    """As how many results a listing counts. One that is too long is kept alone."""
    return min(_OWN + len(listing.results), _KEPT)


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
