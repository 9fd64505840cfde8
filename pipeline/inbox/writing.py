"""Which files of an inbox somebody is still writing."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.errors import ManifestError, StoreError
from pipeline.inbox.layout import is_request
from pipeline.manifest.document import MAX_BYTES, load_object
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing


@dataclass
class _Seen:
    """One version of a file."""

    version: str
    since: float  # when it was seen first
    whole: bool | None = None  # whether it looks whole; none until it was read


class Writing:
    """Judges by the time for which a file has not changed, and by whether it is valid JSON."""

    def __init__(self, store: Store, timing: Timing, clock: Callable[[], float]) -> None:
        self._store, self._timing, self._clock = store, timing, clock
        self._seen: dict[str, _Seen] = {}  # by the name of the manifest

    def complete(self, waiting: dict[str, Entry]) -> dict[str, Entry]:
        """Those of all manifests that wait, by name, which are complete as far as one can see."""
        if self._store.atomic:
            return waiting
        now = self._clock()
        self._seen = {name: self._last_seen(name, entry.version, now) for name, entry in waiting.items()}
        return {name: entry for name, entry in waiting.items() if self._is_over(name, entry, now)}

    def _last_seen(self, name: str, version: str, now: float) -> _Seen:
        seen = self._seen.get(name)
        return seen if seen and seen.version == version else _Seen(version, now)

    def _is_over(self, name: str, entry: Entry, now: float) -> bool:
        if entry.size == 0:
            return False
        seen = self._seen[name]
        unchanged = now - seen.since
        # The HTTP door writes the images of a request before its manifest. The images of other manifests may
        # come after them, so that these have to wait.
        enough = 0.0 if is_request(name) else self._timing.settled
        if unchanged < enough:
            return False
        if unchanged >= self._timing.unfinished:
            return True
        if seen.whole is None:
            seen.whole = self._looks_whole(entry)
        return seen.whole

    def _looks_whole(self, entry: Entry) -> bool:
        if entry.size > MAX_BYTES:
            return True
        try:
            load_object(self._store.read(entry.name, MAX_BYTES))
        except ManifestError:
            return False
        except StoreError:
            return True  # the claim will show what is wrong
        return True
