"""Which files of an inbox somebody is still writing."""

from collections.abc import Callable, Iterable

from pipeline.errors import ManifestError, StoreError
from pipeline.inbox.layout import is_request, without_suffix
from pipeline.manifest.reading import MAX_BYTES, load_object
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing


class Writing:
    """Judges by the time for which a file has not changed, and by whether it is valid JSON.

    `is_over` sets `found_any` if a file is being written. A scan begins by clearing it.
    """

    def __init__(self, store: Store, timing: Timing, clock: Callable[[], float]) -> None:
        self._store, self._timing, self._clock = store, timing, clock
        self._unchanged_since: dict[str, tuple[str, float]] = {}  # name -> version, first time seen
        self.found_any = False

    def see(self, entries: Iterable[Entry]) -> None:
        """Remember since when each of these files, which are all that wait, has not changed."""
        now, known = self._clock(), self._unchanged_since
        self._unchanged_since = {}
        for entry in entries:
            version, since = known.get(entry.name, ("", now))
            self._unchanged_since[entry.name] = entry.version, since if version == entry.version else now

    def is_over(self, entry: Entry) -> bool:
        """Whether a file is complete, as far as one can see."""
        if self._store.atomic:
            return True
        if entry.size == 0:
            return False
        # The HTTP door writes the images of a request before its manifest. The images of other manifests may
        # come after them, so that these have to wait.
        if is_request(without_suffix(entry.name)) and self._looks_whole(entry):
            return True
        unchanged = self._clock() - self._unchanged_since[entry.name][1]
        written = unchanged >= self._timing.settled and (
            unchanged >= self._timing.unfinished or self._looks_whole(entry)
        )
        self.found_any |= not written
        return written

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
