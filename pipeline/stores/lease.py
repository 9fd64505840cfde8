"""A lease on an object in a bucket: a small object beside it, which its holder keeps rewriting."""

import math
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from uuid import uuid4

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.holding import Holding
from pipeline.stores.objects import Object, Objects
from pipeline.timing import Timing

_FRESH = 1 / 6  # share of a lease's duration for which a renewal need not be repeated by `confirm`
_UNKNOWN = -math.inf  # time of the last renewal while its answer is not there, or after the lease was lost
_MOST = 2**20  # bytes of a lease
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
        holding = Holding(owner=self.left.pop(key, None) or uuid4().hex)
        try:
            asked = _now()
            etag = self.write(key, holding)
            if etag is None:
                found = self.find(key)
                if found is None:
                    return None  # its holder has just deleted it; the next scan tries again
                last = Holding.from_bytes(found.data)
                ours = last.owner == holding.owner
                unchanged = self._seconds_unchanged(key, found.etag)
                if not ours and found.age < self.timing.lease and unchanged < self.timing.lease:
                    return None
                history = last.history if ours else last.inherited("")
                holding = holding.model_copy(update={"history": history, "content": last.content})
                asked = _now()
                etag = self.write(key, holding, found.etag)
        except UnavailableError:
            self.left[key] = holding.owner  # the server may have written it all the same
            raise
        return Lease(self, key, holding, etag, asked) if etag else None

    def write(self, key: str, holding: Holding, match: str | None = None) -> str | None:
        """Write a lease, where there is none or where it has the ETag `match`; the new ETag, or none."""
        text = holding.to_bytes() + f"\n{uuid4().hex}".encode()  # so that every renewal has another ETag
        try:
            return self.objects.put(key, text, absent=match is None, match=match)
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

    def __init__(self, leases: Leases, key: str, holding: Holding, etag: str, asked: float) -> None:
        """`asked` is when it was asked for, by `_now`."""
        self._leases, self.key, self.holding, self._etag = leases, key, holding, etag
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

    def change(self, **changes: object) -> None:
        """Change the text, and write it now. Raises `ClaimLostError`."""
        self.holding = self.holding.model_copy(update=changes)
        self.renew()

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
                self._leases.left[self.key] = self.holding.owner
                raise

    def _renew(self) -> None:
        asked, self._renewed = _now(), _UNKNOWN
        etag = None if self._lost else self._rewrite()
        if etag is None:
            self._lost = True
            raise ClaimLostError(f"{self._leases.objects.url}/{self.key}: another runner has taken over")
        self._etag, self._renewed = etag, asked

    def _rewrite(self) -> str | None:
        etag = self._leases.write(self.key, self.holding, self._etag)
        if etag is None:
            # The server may have done an earlier renewal whose answer was lost.
            found = self._leases.find(self.key)
            if found and Holding.from_bytes(found.data).owner == self.holding.owner:
                etag = self._leases.write(self.key, self.holding, found.etag)
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
