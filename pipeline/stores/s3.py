"""A bucket, or the objects under a prefix of it, as a store: conditional writes make claims exclusive."""

import posixpath
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from pipeline.cache import Cache
from pipeline.errors import ConflictError, NotFoundError, StoreError, TooLargeError, UsageError
from pipeline.stores.aws import NotModifiedError, OutsideError
from pipeline.stores.base import PARTS, Entry, Part
from pipeline.stores.lease import Lease, Leases
from pipeline.stores.objects import SCHEME, Head, Object, Objects
from pipeline.stores.s3_claim import S3Claim, claimed, moved
from pipeline.stores.search import Search
from pipeline.timing import Timing

_CACHED = 2**28  # bytes of objects that are kept, so that a style image of many pairs is fetched once


class S3Store:
    """Objects under `s3://bucket/prefix`."""

    atomic, lists_tags = True, True
    event_folder: Path | None = None

    def __init__(self, url: str, client: Any, timing: Timing = Timing()) -> None:
        """`client` is boto3's client of S3. Raises `UsageError` for any other URL."""
        self.objects = Objects(url, client)
        self.url, self.bucket, self.prefix = self.objects.url, self.objects.bucket, self.objects.prefix
        self.idle_interval = timing.scan_bucket
        self._root = f"{SCHEME}{self.bucket}/{self.prefix}"
        self.surroundings = f"{SCHEME}{self.bucket}" if self.prefix else None
        self._leases = Leases(self.objects, timing)
        self._cache = Cache[Object](_CACHED, lambda found: len(found.data))
        self._obeys = False  # whether the server is known to obey conditions
        self._listed: dict[str, str] = {}  # ETags of the last listing, by key

    def exists(self) -> bool:
        self.objects.listed("", PaginationConfig={"PageSize": 1, "MaxItems": 1})
        return True  # a bucket that is missing or can't be listed has raised an error that says so

    def make(self) -> None:
        probe = f".probe-{uuid4().hex}"
        self.write(probe, b"")
        self.remove(probe)

    def claim_fault(self) -> str:
        # Two conditional writes have to fail: one where an object must be absent that is there, and one
        # where an object must have an ETag that it has not. Some servers ignore conditions and answer 200.
        key = f"processing/.probe-{uuid4().hex}"
        try:
            self.objects.put(key, b"first", absent=True)
            obeys = self._refuses(key, absent=True) and self._refuses(key, match=f'"{"0" * 32}"')
            return "" if obeys else "the server ignores conditional writes; use another one"
        finally:
            self.remove(key)

    def entries(self, folder: str) -> list[Entry]:
        start = f"{folder}/" if folder else ""
        listed = self.objects.listed(start, Delimiter="/")
        self._leases.watched.see_listing(folder, listed)
        self._listed = {item.key: item.etag for item in listed}
        found = [_entry(item.key.removeprefix(start), item.size, item.etag, item.modified) for item in listed]
        return [entry for entry in found if not entry.name.startswith(".")]

    def entry(self, key: str) -> Entry | None:
        try:
            return _entry_of(key, self.objects.head(key))
        except NotFoundError:
            return None

    def left_out(self) -> list[str]:
        return []  # all objects are ordinary

    def names(self, folder: str, most: int) -> list[str]:
        return self.objects.names(f"{folder}/" if folder else "", most)

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
                if known.size > limit:  # the answer does not depend on what is in the cache
                    raise TooLargeError.of(f"{self.url}/{key}", known.size, limit, known.etag) from None
                return known.data, known.etag
        self._cache.keep(key, found)
        return found.data, found.etag

    def part(self, key: str, begin: int, size: int, version: str | None = None) -> Part:
        try:
            found = self.objects.get(key, size, Range=f"bytes={begin}-{begin + size - 1}")
            entry, data = _entry_of(key, found), found.data
        except OutsideError:
            entry, data = _entry_of(key, self.objects.head(key)), b""
        # Not as a condition of the request: some servers ignore conditions.
        if version not in (None, entry.version):
            raise ConflictError(f"{self.url}/{key}: was changed while it was read")
        return Part(data, entry)

    def write(self, key: str, data: bytes) -> str:
        return self.objects.put(key, data)

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        return self.objects.put(key, data, absent=seen is None, match=seen)

    def move(self, source: str, target: str) -> None:
        moved(self.objects, source, target)

    def remove(self, key: str, seen: str | None = None) -> None:
        self.objects.delete(key, match=seen)

    def tidy(self, folder: str) -> None:
        pass  # an interrupted upload leaves no object

    def claim(self, source: str, target: str) -> S3Claim | None:
        if self._leases.held(target):
            return None
        lease = self._leases.take(target, self._listed.get(source, ""))
        return claimed(self.objects, lease, source, target) if lease else None

    def reserve(self, folder: str, part: str = "") -> "S3Reservation | None":
        if not part:
            return S3Reservation()
        if not self._obeys and self.claim_fault():
            raise UsageError(
                f"{self.url}: the server ignores conditional writes, so that two processes could work on one "
                "shard; use one process, without --shard"
            )
        self._obeys = True
        lease = self._leases.take(f"{folder}/{PARTS}/{part}", "")
        return S3Reservation(lease) if lease else None

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        return (search or Search()).keys(self.url, pattern, self.objects.keys)

    def reference(self, key: str) -> str:
        is_relative = self.key(self.absolute(key)) == key
        return key if is_relative else f"{self._root}{key}"

    def absolute(self, reference: str) -> str:
        if "://" in reference or reference.startswith("/"):
            return reference
        return f"{SCHEME}{self.bucket}{posixpath.normpath(f'/{self.prefix}{reference}')}"

    def key(self, absolute: str) -> str | None:
        inside = f"{absolute}/".startswith(self._root) and ".." not in absolute.split("/")
        return absolute[len(self._root) :] if inside else None

    def _refuses(self, key: str, absent: bool = False, match: str | None = None) -> bool:
        try:
            self.objects.put(key, b"second", absent, match)
        except ConflictError:
            return True
        return False


def _entry(name: str, size: int, etag: str, modified: float) -> Entry:
    return Entry(name, size, f"{etag} {modified}", modified, modified, etag)


def _entry_of(key: str, head: Head) -> Entry:
    return _entry(posixpath.basename(key), head.size, head.etag, head.modified.timestamp())


class S3Reservation:
    """Has no effect without a lease."""

    def __init__(self, lease: Lease | None = None) -> None:
        self._lease = lease

    def confirm(self) -> None:
        if self._lease:
            self._lease.confirm()

    def close(self) -> None:
        if self._lease:
            with suppress(StoreError):  # it lapses by itself
                self._lease.delete()
