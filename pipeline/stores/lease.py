"""A lease on an object in a bucket: a small object beside it, which its holder keeps rewriting."""

import math
import posixpath
import threading
from collections.abc import Callable
from uuid import uuid4

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.base import History
from pipeline.stores.holding import Holding
from pipeline.stores.objects import Object, Objects
from pipeline.stores.watched import SUFFIX, Watched, now
from pipeline.timing import Timing

_FRESH = 1 / 6  # share of a lease's duration for which a renewal need not be repeated by `confirm`
_UNKNOWN = -math.inf  # time of the last renewal while its answer is not there, or after the lease was lost
_MOST = 2**20  # bytes of a lease


class Leases:
    """Takes leases among the objects of one store.

    The clocks of two machines are never compared. A lease has lapsed if this machine has seen the same ETag
    for `timing.lease` seconds. If it has seen no other ETag before, a lease has lapsed also if the server
    wrote it so many seconds before an object that this process has just written. Dates of answers do not
    count, because a proxy may set them. The request that takes a lease over names the ETag that was seen.
    """

    def __init__(self, objects: Objects, timing: Timing) -> None:
        self.objects, self.timing = objects, timing
        self.watched = Watched(timing.lease)
        self.left: dict[str, str] = {}  # owners, by key, of leases that this process could not delete

    def held(self, target: str) -> bool:
        """Whether somebody holds the lease on an object, as far as this process knows without a request."""
        key = target + SUFFIX
        return key not in self.left and self.watched.held(key)

    def take(self, target: str, content: str) -> "Lease | None":
        """Take the lease on an object if it is free or has lapsed; none if somebody holds it.

        A new lease is for this content, or for an unknown one if it is empty. A lease that was there before
        keeps its content and its history.
        """
        key = target + SUFFIX
        holding = Holding(owner=self.left.pop(key, None) or uuid4().hex, content=content)
        try:
            found = self.find(key) if self.watched.knows(key) else None
            if found is None:
                asked = now()
                if etag := self.write(key, holding):
                    return self._taken(key, holding, etag, asked)
                found = self.find(key)
                if found is None:
                    return None  # its holder has just deleted it; the next scan tries again
            last = Holding.from_bytes(found.data)
            ours = last.owner == holding.owner
            if not (ours or last.free or self._has_lapsed(key, found)):
                return None
            history = last.history if ours else last.inherited("")
            holding = holding.model_copy(update={"history": history, "content": last.content})
            asked = now()
            etag = self.write(key, holding, found.etag)
        except UnavailableError:
            self.left[key] = holding.owner  # the server may have written it all the same
            raise
        return self._taken(key, holding, etag, asked) if etag else None

    def write(self, key: str, holding: Holding, match: str | None = None) -> str | None:
        """Write a lease, where there is none or where it has the ETag `match`; the new ETag, or none."""
        text = holding.model_copy(update={"random": uuid4().hex}).to_bytes()
        try:
            return self.objects.put(key, text, absent=match is None, match=match)
        except ConflictError:
            return None

    def find(self, key: str) -> Object | None:
        """The lease that is there now."""
        try:
            return self.objects.get(key, _MOST)
        except NotFoundError:
            return None

    def _taken(self, key: str, holding: Holding, etag: str, asked: float) -> "Lease":
        self.watched.forget(key)
        return Lease(self, key, holding, etag, asked)

    def _has_lapsed(self, key: str, found: Object) -> bool:
        self.watched.see(key, found.etag, found.age)
        if not self.watched.lapsed(key) and self.watched.suspected(key):
            self.watched.measure(key, self._measured_age(key, found))
        return self.watched.lapsed(key)

    def _measured_age(self, key: str, found: Object) -> float:
        """How many seconds ago the server wrote a lease, at least, by the clock that dates its objects."""
        probe = f"{posixpath.dirname(key)}/.probe-{uuid4().hex}"
        self.objects.put(probe, b"")
        try:
            written = self.objects.head(probe).modified
        finally:
            self.objects.delete(probe)
        # Both are whole seconds, so that a difference of one second may be just above zero.
        return (written - found.modified).total_seconds() - 1


class Lease:
    """A lease that this process holds. A thread renews it until it ends."""

    def __init__(self, leases: Leases, key: str, holding: Holding, etag: str, asked: float) -> None:
        """`asked` is when it was asked for, by `now`."""
        self._leases, self.key, self.holding, self._etag = leases, key, holding, etag
        self._ending, self._lock = threading.Event(), threading.Lock()
        self._renewed, self._lost, self._ended = asked, False, False
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def confirm(self) -> None:
        """Renew it, unless it was renewed a short time ago. Raises `ClaimLostError`, also after its end."""
        with self._lock:
            self._check()
            if now() - self._renewed > _FRESH * self._leases.timing.lease:
                self._renew()

    def renew(self) -> None:
        """Rewrite it now. Raises `ClaimLostError` if it has ended, or if somebody else has taken it over."""
        with self._lock:
            self._renew()

    def change(self, **changes: object) -> None:
        """Change the text, and write it now. Raises `ClaimLostError`."""
        with self._lock:
            self._check()
            self.holding = self.holding.model_copy(update=changes)
            self._renew()

    def end(self) -> None:
        """Stop renewing it. Delete it, or leave it free to be taken if it has a history to keep."""
        self._end(self._delete if self.holding.history == History() else self._leave)

    def delete(self) -> None:
        """Stop renewing it, and delete it with its history."""
        self._end(self._delete)

    def end_by(self, delete: Callable[[str], None]) -> None:
        """Stop renewing it, and call `delete` with its ETag. Raises `ClaimLostError`.

        If that raises `UnavailableError`, the lease has not ended, and this can be called again.
        """
        self._ending.set()
        with self._lock:
            self._check()
            try:
                if self._renewed == _UNKNOWN:
                    self._renew()
                delete(self._etag)
            except UnavailableError:
                self._leases.left[self.key] = self.holding.owner
                raise
            self._ended = True
            self._leases.watched.forget(self.key)

    def _end(self, last: Callable[[str], None]) -> None:
        try:
            self.end_by(last)
        except ClaimLostError:
            pass  # it belongs to somebody else now, or has ended before
        finally:
            self._ended = True

    def _delete(self, etag: str) -> None:
        self._leases.objects.delete(self.key, match=etag)

    def _leave(self, etag: str) -> None:
        self.holding = self.holding.model_copy(update={"stopped": True, "free": True})
        self._leases.write(self.key, self.holding, etag)

    def _check(self) -> None:
        if self._ended:
            raise ClaimLostError(f"{self._leases.objects.url}/{self.key}: the lease has ended")

    def _renew(self) -> None:
        self._check()
        asked, self._renewed = now(), _UNKNOWN
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
        while not self._ending.wait(seconds):
            try:
                self.renew()
            except ClaimLostError:
                return
            except StoreError:
                continue  # the server can't be reached now; `confirm` renews it before anything is published
