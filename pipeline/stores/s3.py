"""A bucket, or the objects under a prefix of it, as a store: conditional writes make claims exclusive."""

import posixpath
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError
from pipeline.stores import patterns
from pipeline.stores.aws import NotModifiedError
from pipeline.stores.base import Entry, History
from pipeline.stores.lease import Lease, Leases
from pipeline.stores.objects import SCHEME, Object, Objects
from pipeline.timing import Timing

_CACHED = 2**28  # bytes of objects that are kept, so that a style image of many pairs is fetched once
_LARGEST = 2**30  # bytes of an object that is moved


class S3Store:
    """Objects under `s3://bucket/prefix`."""

    atomic, lists_tags = True, True
    event_folder: Path | None = None

    def __init__(self, url: str, client: Any, timing: Timing = Timing()) -> None:
        """`client` is boto3's client of S3. Raises `UsageError` for any other URL."""
        self.objects = Objects(url, client)
        self.url, self.bucket, self.prefix = self.objects.url, self.objects.bucket, self.objects.prefix
        self.idle_interval = timing.scan_bucket
        self._timing = timing
        self._leases = Leases(self.objects, timing)
        self._cache = _Cache()

    def exists(self) -> bool:
        self.objects.listed("", PaginationConfig={"PageSize": 1, "MaxItems": 1})
        return True  # a bucket that is missing or can't be listed has raised an error that says so

    def make(self) -> None:
        probe = f".probe-{uuid4().hex}"
        self.write(probe, b"")
        self.remove(probe)

    def exclusive(self) -> bool:
        # Two conditional writes have to fail: one where an object must be absent that is there, and one
        # where an object must have an ETag that it has not. Some servers ignore conditions and answer 200.
        key = f"processing/.probe-{uuid4().hex}"
        try:
            self.objects.put(key, b"first", absent=True)
            return self._refuses(key, absent=True) and self._refuses(key, match=f'"{"0" * 32}"')
        finally:
            self.remove(key)

    def surroundings(self) -> "S3Store | None":
        return S3Store(f"{SCHEME}{self.bucket}", self.objects.client, self._timing) if self.prefix else None

    def entries(self, folder: str) -> list[Entry]:
        start = f"{folder}/" if folder else ""
        found = []
        for item in self.objects.listed(start, Delimiter="/"):
            name, modified = item["Key"].removeprefix(self.prefix + start), item["LastModified"]
            if not name.startswith("."):
                tag, seconds = str(item["ETag"]), modified.timestamp()
                found.append(Entry(name, item["Size"], f"{tag} {modified}", seconds, tag))
        return found

    def tag(self, key: str) -> str | None:
        return self.objects.tag(key)

    def read(self, key: str, limit: int) -> bytes:
        return self.fetch(key, limit)[0]

    def fetch(self, key: str, limit: int) -> tuple[bytes, str]:
        known = self._cache.find(key)
        if known is None:
            found = self.objects.get(key, limit)
        else:
            try:
                found = self.objects.get(key, limit, IfNoneMatch=known.etag)
            except NotModifiedError:
                return known.data, known.etag
        self._cache.keep(key, found)
        return found.data, found.etag

    def write(self, key: str, data: bytes) -> str:
        return self.objects.put(key, data)

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        return self.objects.put(key, data, absent=seen is None, match=seen)

    def move(self, source: str, target: str) -> None:
        found = self.objects.get(source, _LARGEST)
        self.objects.put(target, found.data, absent=True)
        self.objects.delete(source, match=found.etag)

    def remove(self, key: str, seen: str | None = None) -> None:
        self.objects.delete(key, match=seen)

    def tidy(self, folder: str) -> None:
        pass  # an interrupted upload leaves no object

    def claim(self, source: str, target: str) -> "S3Claim | None":
        lease = self._leases.take(f"{target}.lease")
        if lease is None:
            return None
        try:
            found = self._move_to_target(source, target)
        except BaseException:
            lease.end()
            raise
        if found is None:
            lease.end()
            return None
        if lease.holding.content not in ("", found.etag):
            lease.holding = lease.holding.model_copy(update={"history": History()})
        lease.holding = lease.holding.model_copy(update={"content": found.etag})
        return S3Claim(self.objects, lease, source, target, found)

    def glob(self, pattern: str) -> list[str]:
        listed = self.objects.listed(patterns.literal(pattern))
        return patterns.matching((item["Key"].removeprefix(self.prefix) for item in listed), pattern)

    def absolute(self, reference: str) -> str:
        if "://" in reference or reference.startswith("/"):
            return reference
        return f"{SCHEME}{self.bucket}{posixpath.normpath(f'/{self.prefix}{reference}')}"

    def key(self, absolute: str) -> str | None:
        root = f"{SCHEME}{self.bucket}/{self.prefix}"
        inside = f"{absolute}/".startswith(root) and ".." not in absolute.split("/")
        return absolute[len(root) :] if inside else None

    def _refuses(self, key: str, absent: bool = False, match: str | None = None) -> bool:
        try:
            self.objects.put(key, b"second", absent, match)
        except ConflictError:
            return True
        return False

    def reserve(self, folder: str) -> "S3Reservation":
        return S3Reservation()

    def _move_to_target(self, source: str, target: str) -> Object | None:
        """The object at `target`, which a dead runner has left there, or which came from `source`."""
        try:
            found = self.objects.get(source, _LARGEST)
        except NotFoundError:
            found = None
        try:
            if found is not None:
                etag = self.objects.put(target, found.data, absent=True)
                self.objects.delete(source, match=found.etag)
                return replace(found, etag=etag)
        except ConflictError:
            pass  # the object that a dead runner left comes first
        try:
            return self.objects.get(target, _LARGEST)
        except NotFoundError:
            return None


class S3Reservation:
    """Excludes nobody."""

    def close(self) -> None:
        pass


class S3Claim:
    """The claim on an object, by a lease."""

    def __init__(self, objects: Objects, lease: Lease, source: str, key: str, found: Object) -> None:
        self._objects, self._lease, self._source, self._key = objects, lease, source, key
        self._data, self._etag = found.data, found.etag
        self._held, self._copied = True, False

    @property
    def history(self) -> History:
        return self._lease.holding.history

    def note(self, history: History) -> None:
        self._lease.change(history=history)

    def stopping(self) -> None:
        if self._held:
            self._lease.change(stopped=True)

    def read(self, limit: int) -> bytes:
        if len(self._data) > limit:
            size, most = len(self._data) / 2**20, limit / 2**20
            raise StoreError(
                f"{self._objects.url}/{self._key}: has {size:.0f} MiB; at most {most:.0f} are read"
            )
        return self._data

    def confirm(self) -> None:
        if not self._held:
            raise ClaimLostError(f"{self._objects.url}/{self._key}: the claim has ended")
        self._lease.confirm()

    def present(self) -> bool:
        return self._held and self._objects.tag(self._key) is not None

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        if not self._held:
            return
        self._lease.confirm()
        # After a copy, an earlier call may have deleted the object although its answer was lost.
        if not self._copied and not self.present():
            raise ClaimLostError(f"{self._objects.url}/{self._key} was moved or deleted; work on it stops")
        self._objects.put(key, self._data)
        self._copied = True
        # The copy may have taken longer than the lease. Another runner may then hold a newer object.
        self._lease.confirm()
        # With ETags, because this request may arrive after another runner has written both anew.
        self._lease.end_by(
            lambda etag: self._objects.delete_all(
                {self._key: self._etag, **dict.fromkeys(clearing), self._lease.key: etag}
            )
        )
        self._held = False

    def release(self) -> None:
        if not self._held:
            return
        self._held = False
        try:
            self._lease.renew()
            if self._objects.tag(self._key) is not None:
                self._objects.put(self._source, self._data, absent=True)
                self._lease.confirm()
                self._objects.delete(self._key, match=self._etag)
        except ClaimLostError:
            return
        except ConflictError:
            pass  # a newer object waits; this one stays where the next scan finds it
        finally:
            self._lease.end()

    def drop(self) -> None:
        if self._held:
            self._held = False
            self._lease.end()


class _Cache:
    """The objects that were read last, up to a number of bytes."""

    def __init__(self) -> None:
        self._objects: OrderedDict[str, Object] = OrderedDict()
        self._size = 0

    def find(self, key: str) -> Object | None:
        return self._objects.get(key)

    def keep(self, key: str, found: Object) -> None:
        earlier = self._objects.pop(key, None)
        self._size += len(found.data) - (len(earlier.data) if earlier else 0)
        self._objects[key] = found
        while self._size > _CACHED:
            self._size -= len(self._objects.popitem(last=False)[1].data)
