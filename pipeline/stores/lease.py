"""The hold on an object in a bucket: a lease beside it that lapses where it is not renewed."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError, UnavailableError

if TYPE_CHECKING:
    from pipeline.stores.s3 import Object, S3Store

LEASE = 60.0  # seconds after which a lease that nobody has renewed may be taken over
_FRESH = 1 / 6  # of that time after a renewal, in which it need not be asked for again
_RENEWALS = 4  # in that time
_UNKNOWN = -math.inf  # when it was renewed last, while the answer is awaited, and if it or the lease is lost
_MOST = 1000  # bytes
_WATCHED = 10_000  # leases of others


class Lease:
    """A small object that only its holder can rewrite; a thread renews it until `end`.

    No machine's clock is compared with another's: a lease has lapsed if the server says so, which dates both
    the present and the last writing, or if this machine has seen the same ETag for so long; and whoever
    takes it over names the ETag that he saw.
    """

    def __init__(self, store: "S3Store", key: str, owner: str, etag: str, asked: float, crashes: int) -> None:
        """`owner` is what it says at its start; `asked` is when it was asked for, by `_now`."""
        self._store, self._key, self._owner, self._etag = store, key, owner, etag
        self.crashes = crashes
        self._ended, self._lock = threading.Event(), threading.Lock()
        self._renewed = asked
        self.lost = False
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    @classmethod
    def take(cls, store: "S3Store", key: str) -> "Lease | None":
        """Take a lease that is free or has lapsed; none if somebody holds it."""
        owner = store.leases_left.pop(key, None) or uuid4().hex
        try:
            asked, crashes = _now(), 0
            etag = _write(store, key, owner, crashes)
            if etag is None:
                found = _look(store, key)
                if found is None:
                    return None  # given up this moment; the next scan will see
                ours = found.data.startswith(owner.encode())
                crashes = _crashes(found.data) - ours
                watched = store.leases_seen.seconds(key, found.etag)
                if not ours and found.age < LEASE and watched < LEASE:
                    return None
                asked = _now()
                etag = _write(store, key, owner, crashes, found.etag)
        except UnavailableError:
            store.leases_left[key] = owner  # it may have been written all the same
            raise
        return cls(store, key, owner, etag, asked, crashes) if etag else None

    def confirm(self) -> None:
        """Renew it, unless that was done a moment ago. Raises `ClaimLostError`."""
        if _now() - self._renewed > _FRESH * LEASE:
            self.renew()

    def renew(self) -> None:
        """Raises `ClaimLostError` if somebody else has taken it over."""
        with self._lock:
            self._renew()

    def _renew(self) -> None:
        asked, self._renewed = _now(), _UNKNOWN
        etag = None if self.lost else self._rewritten()
        if etag is None:
            self.lost = True
            raise ClaimLostError(f"{self._store.url}/{self._key}: another runner has taken over")
        self._etag, self._renewed = etag, asked

    def _rewritten(self) -> str | None:
        etag = _write(self._store, self._key, self._owner, self.crashes, self._etag)
        if etag is None:
            # An earlier renewal may have been done, though its answer was lost.
            found = _look(self._store, self._key)
            if found and found.data.startswith(self._owner.encode()):
                etag = _write(self._store, self._key, self._owner, self.crashes, found.etag)
        return etag

    def progressed(self) -> None:
        """Whoever takes it over need not count those who have died with it. Raises `ClaimLostError`."""
        if self.crashes:
            self.forget()
            self.renew()

    def forget(self) -> None:
        """Count no crash before this holder, from the next renewal on."""
        self.crashes = 0

    def end(self) -> None:
        """Give it up."""
        with suppress(ClaimLostError):
            self.end_by(lambda etag: self._store.remove(self._key, match=etag))

    def end_by(self, delete: Callable[[str], None]) -> None:
        """Give it up by what deletes it, given its ETag. Raises `ClaimLostError`."""
        self._ended.set()
        with self._lock:
            try:
                if self._renewed == _UNKNOWN:
                    self._renew()
                delete(self._etag)
            except UnavailableError:
                self._store.leases_left[self._key] = self._owner
                raise

    @property
    def key(self) -> str:
        return self._key

    def _keep(self) -> None:
        while not self._ended.wait(LEASE / _RENEWALS):
            try:
                self.renew()
            except ClaimLostError:
                return
            except StoreError:
                continue  # out of reach for the moment; whoever publishes will look again


class Sightings:
    """For how long leases have been seen unchanged, by this machine's clock."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, float]] = {}

    def seconds(self, key: str, etag: str) -> float:
        """Since this ETag was first seen here."""
        if len(self._first) > _WATCHED:
            self._first.clear()  # which only makes the wait longer
        known, since = self._first.get(key, ("", 0.0))
        if known != etag:
            since = _now()
            self._first[key] = etag, since
        return _now() - since


def _now() -> float:
    # Where there is one, a clock that goes on while the machine is suspended.
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _write(store: "S3Store", key: str, owner: str, crashes: int, match: str | None = None) -> str | None:
    """Write with a condition; the new ETag, or none where the condition does not hold.

    At its end it says how many crashes there will have been if this holder's end is one, too.
    """
    text = f"{owner} {uuid4().hex} {crashes + 1}"
    try:
        return store.put(key, text.encode(), absent=match is None, match=match)
    except (NotFoundError, ConflictError):
        return None


def _crashes(data: bytes) -> int:
    """What a lease says at its end; another version's says nothing."""
    *_, last = data.split() or [b""]
    return int(last) if len(last) < 10 and last.isdigit() else 0


def _look(store: "S3Store", key: str) -> "Object | None":
    try:
        return store.look(key, _MOST)
    except NotFoundError:
        return None


class S3Claim:
    """An object under `processing/` with the lease that makes it ours."""

    def __init__(self, store: "S3Store", source: str, key: str, found: "Object", lease: Lease) -> None:
        self._store, self._source, self._key = store, source, key
        self._data, self._etag = found.data, found.etag
        self._lease, self._open = lease, True

    def read(self, limit: int) -> bytes:
        if len(self._data) > limit:
            size, most = len(self._data) / 2**20, limit / 2**20
            raise StoreError(
                f"{self._store.url}/{self._key}: has {size:.0f} MiB; at most {most:.0f} are read"
            )
        return self._data

    @property
    def crashes(self) -> int:
        return self._lease.crashes

    def confirm(self) -> None:
        self._lease.confirm()

    def progressed(self) -> None:
        self._lease.progressed()

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        if not self._open:
            return
        self._lease.confirm()
        self._store.write(key, self._data)
        self._lease.confirm()  # that may have taken long, and what lies there now be another one's
        # By their ETags, as this may hang until an heir has written anew.
        self._lease.end_by(
            lambda lease: self._store.remove_all(
                {self._key: self._etag, **dict.fromkeys(clearing), self._lease.key: lease}
            )
        )
        self._open = False

    def release(self) -> None:
        if not self._open:
            return
        self._open = False
        try:
            self._lease.renew()
            self._store.put(self._source, self._data, absent=True)
            self._lease.confirm()
            self._store.remove(self._key, match=self._etag)
        except ClaimLostError:
            return
        except ConflictError:
            pass  # a newer one waits; this one stays where the scan finds it
        finally:
            self._lease.end()
