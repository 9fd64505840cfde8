"""A lease on an object in a bucket: a small object beside it, which its holder keeps rewriting."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.objects import Object, Objects
from pipeline.timing import Timing

_FRESH = 1 / 6  # share of a lease's duration for which a renewal need not be repeated by `confirm`
_UNKNOWN = -math.inf  # time of the last renewal while its answer is not there, or after the lease was lost
_MOST = 1000  # bytes of a lease
_WATCHED = 10_000  # leases of others that are remembered


class Leases:
    """Takes leases among the objects of one store.

    The clocks of two machines are never compared. A lease has lapsed if by the server's clock, which dates
    the answer and the last write, it was not rewritten for `timing.lease` seconds, or if this machine has
    seen the same ETag for that long. The request that takes it over names the ETag that was seen.
    """

    def __init__(self, objects: Objects, timing: Timing) -> None:
        self.objects, self.timing = objects, timing
        self.left: dict[str, str] = {}  # owners, by key, of leases that this process could not delete
        self._seen: dict[str, tuple[str, float]] = {}  # ETags of others' leases, and since when

    def take(self, key: str) -> "Lease | None":
        """Take a lease that is free or has lapsed; none if somebody holds it."""
        owner = self.left.pop(key, None) or uuid4().hex
        try:
            asked, crashes = _now(), 0
            etag = self.write(key, owner, crashes)
            if etag is None:
                found = self.find(key)
                if found is None:
                    return None  # its holder has just deleted it; the next scan tries again
                ours = found.data.startswith(owner.encode())
                crashes = _crashes(found.data) - ours
                unchanged = self._seconds_unchanged(key, found.etag)
                if not ours and found.age < self.timing.lease and unchanged < self.timing.lease:
                    return None
                asked = _now()
                etag = self.write(key, owner, crashes, found.etag)
        except UnavailableError:
            self.left[key] = owner  # the server may have written it all the same
            raise
        return Lease(self, key, owner, etag, asked, crashes) if etag else None

    def write(self, key: str, owner: str, crashes: int, match: str | None = None) -> str | None:
        """Write a lease, where there is none or where it has the ETag `match`; the new ETag, or none.

        The text ends with the number of crashes that the next holder has to count if this one dies.
        """
        text = f"{owner} {uuid4().hex} {crashes + 1}"
        try:
            return self.objects.put(key, text.encode(), absent=match is None, match=match)
        except (NotFoundError, ConflictError):
            return None

    def find(self, key: str) -> Object | None:
        """The lease that is there now."""
        try:
            return self.objects.get(key, _MOST)
        except NotFoundError:
            return None

    def _seconds_unchanged(self, key: str, etag: str) -> float:
        """For how long this process has seen this ETag, by this machine's clock."""
        if len(self._seen) > _WATCHED:
            self._seen.clear()  # which makes the wait longer and has no other effect
        known, since = self._seen.get(key, ("", 0.0))
        if known != etag:
            since = _now()
            self._seen[key] = etag, since
        return _now() - since


class Lease:
    """A lease that this process holds. A thread renews it until `end`."""

    def __init__(self, leases: Leases, key: str, owner: str, etag: str, asked: float, crashes: int) -> None:
        """`owner` is the text that it begins with; `asked` is when it was asked for, by `_now`."""
        self._leases, self.key, self._owner, self._etag = leases, key, owner, etag
        self.crashes = crashes
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._renewed, self._lost = asked, False
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def confirm(self) -> None:
        """Renew it, unless it was renewed a short time ago. Raises `ClaimLostError`."""
        if _now() - self._renewed > _FRESH * self._leases.timing.lease:
            self.renew()

    def renew(self) -> None:
        """Rewrite it now. Raises `ClaimLostError` if somebody else has taken it over."""
        with self._lock:
            self._renew()

    def progressed(self) -> None:
        """Reset the count of crashes, and write that down. Raises `ClaimLostError`."""
        if self.crashes:
            self.forget_crashes()
            self.renew()

    def forget_crashes(self) -> None:
        """Reset the count of crashes; the next renewal writes it down."""
        self.crashes = 0

    def end(self) -> None:
        """Stop renewing it, and delete it unless somebody else has taken it over."""
        with suppress(ClaimLostError):
            self.end_by(lambda etag: self._leases.objects.delete(self.key, match=etag))

    def end_by(self, delete: Callable[[str], None]) -> None:
        """Stop renewing it, and call `delete` with its ETag. Raises `ClaimLostError`."""
        self._ended.set()
        with self._lock:
            try:
                if self._renewed == _UNKNOWN:
                    self._renew()
                delete(self._etag)
            except UnavailableError:
                self._leases.left[self.key] = self._owner
                raise

    def _renew(self) -> None:
        asked, self._renewed = _now(), _UNKNOWN
        etag = None if self._lost else self._rewrite()
        if etag is None:
            self._lost = True
            raise ClaimLostError(f"{self._leases.objects.url}/{self.key}: another runner has taken over")
        self._etag, self._renewed = etag, asked

    def _rewrite(self) -> str | None:
        etag = self._leases.write(self.key, self._owner, self.crashes, self._etag)
        if etag is None:
            # The server may have done an earlier renewal whose answer was lost.
            found = self._leases.find(self.key)
            if found and found.data.startswith(self._owner.encode()):
                etag = self._leases.write(self.key, self._owner, self.crashes, found.etag)
        return etag

    def _keep(self) -> None:
        seconds = min(self._leases.timing.lease_renewal, threading.TIMEOUT_MAX)
        while not self._ended.wait(seconds):
            try:
                self.renew()
            except ClaimLostError:
                return
            except StoreError:
                continue  # the server can't be reached now; `confirm` renews it before anything is published


def _now() -> float:
    # Where it exists, the clock that goes on while the machine is suspended.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _crashes(data: bytes) -> int:
    """The number at the end of a lease; 0 where another version of this program wrote none."""
    *_, last = data.split() or [b""]
    return int(last) if len(last) < 10 and last.isdigit() else 0
