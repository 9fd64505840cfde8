"""What this process has seen of the leases that others hold."""

import posixpath
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.stores.objects import Listed

SUFFIX = ".lease"  # the key of a lease is that of the object that it is for, and this
_MOST = 10_000  # leases that are remembered, apart from those of a listing


def now() -> float:
    """Seconds of this machine's monotonic clock, which goes on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


@dataclass(frozen=True)
class _Sighting:
    etag: str
    since: float  # when this ETag was first seen, by `now`
    age: float  # seconds for which the object was unchanged before `since`, if `measured`; else a guess
    measured: bool = False
    listed: bool = False  # the last listing has the lease, and also the object that it is for


class Watched:
    """Decides whether a lease has lapsed, by the ETags that this process has seen.

    Once this process has seen that a lease changes, only this machine's monotonic clock counts. Before that,
    the age of the lease counts as well, but only if it was measured by the clock that dates the objects.
    """

    def __init__(self, lease: float) -> None:
        """`lease` is the number of seconds after which a lease lapses."""
        self._lease, self._lock = lease, threading.Lock()
        self._seen: dict[str, _Sighting] = {}

    def see(self, key: str, etag: str, age: float) -> None:
        """The lease has this ETag now; `age` is a guess, as in `Listed`."""
        with self._lock:
            if len(self._seen) > _MOST:
                self._seen.clear()  # the wait for these leases then begins again
            seen = self._seen.get(key)
            self._see(key, etag, age, seen is not None and seen.listed)

    def see_listing(self, folder: str, listed: Iterable[Listed]) -> None:
        """These are all objects of a folder."""
        found = {item.key: item for item in listed}
        leases = {key: item for key, item in found.items() if key.endswith(SUFFIX)}
        with self._lock:
            for key in [key for key in self._seen if posixpath.dirname(key) == folder and key not in leases]:
                del self._seen[key]
            for key, item in leases.items():
                self._see(key, item.etag, item.age, key.removesuffix(SUFFIX) in found)

    def forget(self, key: str) -> None:
        """Forget what was seen of a lease, for example because this process holds it now."""
        with self._lock:
            self._seen.pop(key, None)

    def knows(self, key: str) -> bool:
        """Whether there was a lease when it was last seen."""
        with self._lock:
            return key in self._seen

    def held(self, key: str) -> bool:
        """Whether the lease need not be read, because it can't have lapsed yet.

        A lease without its object may be one that was left free to be taken, and has to be read.
        """
        with self._lock:
            seen = self._seen.get(key)
            return seen is not None and seen.listed and self._unchanged(seen) < self._lease

    def suspected(self, key: str) -> bool:
        """Whether the lease has lapsed if the guess of its age is right; `measure` it then."""
        with self._lock:
            seen = self._seen.get(key)
            return seen is not None and not seen.measured and self._unchanged(seen) >= self._lease

    def measure(self, key: str, age: float) -> None:
        """The object was written at least `age` seconds ago, by the clock of the server alone."""
        with self._lock:
            if seen := self._seen.get(key):
                self._seen[key] = replace(seen, age=age - (now() - seen.since), measured=True)

    def lapsed(self, key: str) -> bool:
        """Whether the lease was not renewed for its whole duration."""
        with self._lock:
            seen = self._seen.get(key)
            if seen is None:
                return False
            return (self._unchanged(seen) if seen.measured else now() - seen.since) >= self._lease

    def _see(self, key: str, etag: str, age: float, listed: bool) -> None:
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Sighting(etag, now(), max(age, 0.0), listed=listed)
        elif seen.etag != etag:
            self._seen[key] = _Sighting(etag, now(), 0.0, measured=True, listed=listed)
        else:
            self._seen[key] = replace(seen, listed=listed)

    @staticmethod
    def _unchanged(seen: _Sighting) -> float:
        return now() - seen.since + seen.age
