"""A bucket, or a part of one, as a store: every object whole, claims as leases, by conditional writes."""

import fnmatch
import mimetypes
import posixpath
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import uuid4

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError, UsageError
from pipeline.stores.aws import PASSING, NotModifiedError, content_md5, explained
from pipeline.stores.base import Entry
from pipeline.stores.lease import Lease, S3Claim, Sightings

_SCHEME = "s3://"
_CACHED = 2**28  # bytes of images kept, so that a style of many pairs is fetched once
_LONGEST_KEY = 1024  # bytes, of which not every server takes care
# What a conditional delete says where a newer object lies by now, is being written, or is gone.
_OTHERS = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
_READS = 4  # attempts at a body that breaks off, which botocore leaves to its callers


@dataclass(frozen=True)
class Object:
    """An object as it was found; it was written `age` seconds ago at the least, by the server's clock."""

    data: bytes
    etag: str
    age: float


class S3Store:
    """Objects under `s3://bucket/prefix`."""

    atomic = True

    def __init__(self, url: str, client: Any) -> None:
        """Raises `UsageError` for what is no such URL."""
        bucket, _, prefix = url.removeprefix(_SCHEME).partition("/")
        proper = url.startswith(_SCHEME) and url.isprintable()
        if not proper or not re.fullmatch(r"[\w.-]{3,63}", bucket):
            raise UsageError(f"{url}: an S3 URL is s3://BUCKET/PREFIX")
        self.bucket, self.prefix = bucket, f"{prefix.strip('/')}/".lstrip("/")
        self.url = f"{_SCHEME}{bucket}/{self.prefix}".rstrip("/")
        self._client = client
        self._cache = _Cache()
        self.leases_seen = Sightings()
        self.leases_left: dict[str, str] = {}  # owners of those that we could not give up

    def exclusive(self) -> bool:
        # Writing again what must be absent has to fail, and so has writing over what must be something
        # else; some servers answer 200 all the same.
        key = f"processing/.probe-{uuid4().hex}"
        try:
            self.put(key, b"first", absent=True)
            return self._refuses(key, absent=True) and self._refuses(key, match=f'"{"0" * 32}"')
        finally:
            self.remove(key)

    def entries(self, folder: str) -> list[Entry]:
        prefix = self.prefix + (f"{folder}/" if folder else "")
        return [
            Entry(item["Key"].removeprefix(prefix), item["Size"], f"{item['ETag']} {item['LastModified']}")
            for item in self._listed(prefix, Delimiter="/")
            if not item["Key"].removeprefix(prefix).startswith(".")
        ]

    def tag(self, key: str) -> str | None:
        try:
            return str(self._head(key)["ETag"])
        except NotFoundError:
            return None

    def read(self, key: str, limit: int) -> bytes:
        known = self._cache.find(key)
        if known is None:
            found = self.look(key, limit)
        else:
            try:
                found = self.look(key, limit, IfNoneMatch=known.etag)
            except NotModifiedError:
                return known.data
        self._cache.keep(key, found)
        return found.data

    def look(self, key: str, limit: int, **condition: str) -> Object:
        """An object with its ETag and age, uncached."""
        for attempt in range(_READS):
            answer = self._call("get_object", key, **condition)
            if answer["ContentLength"] > limit:
                size, most = answer["ContentLength"] / 2**20, limit / 2**20
                raise StoreError(f"{self.url}/{key}: has {size:.0f} MiB; at most {most:.0f} are read")
            try:
                data = answer["Body"].read()
            except (BotoCoreError, HTTPClientError, OSError):
                if attempt + 1 == _READS:
                    raise UnavailableError(
                        f"{self.url}/{key}: the connection broke off again and again"
                    ) from None
                continue
            written = answer["LastModified"]
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
            now = parsedate_to_datetime(date) if date else written
            # Both come in whole seconds, so that a second between them may be a moment.
            return Object(data, answer["ETag"], (now - written).total_seconds() - 1)
        raise AssertionError("unreachable")

    def write(self, key: str, data: bytes) -> str:
        return self.put(key, data)

    def put(self, key: str, data: bytes, absent: bool = False, match: str | None = None) -> str:
        """Write if nothing is there (`absent`), or if this ETag is (`match`); else raise `ConflictError`."""
        condition = {"IfNoneMatch": "*"} if absent else {"IfMatch": match} if match else {}
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        kind = "application/x-ndjson" if key.endswith(".jsonl") else kind
        try:
            answer = self._call(
                "put_object", key, Body=data, ContentType=kind, ContentMD5=content_md5(data), **condition
            )
        except ConflictError:
            return self._written_before(key, data)
        return str(answer["ETag"])

    def move(self, source: str, target: str) -> None:
        found = self.look(source, 2**30)
        self.put(target, found.data, absent=True)
        self.remove(source, match=found.etag)

    def remove(self, key: str, match: str | None = None) -> None:
        """Delete an object; with `match`, only while it has this ETag."""
        # Some servers ignore the condition of a delete, so that a look goes before it. A conflict means
        # that a newer one has come, which is not ours to delete.
        if match and self.tag(key) != match:
            return
        with suppress(ConflictError, NotFoundError):
            self._call("delete_object", key, **({"IfMatch": match} if match else {}))

    def remove_all(self, tags: Mapping[str, str | None]) -> None:
        """Delete several objects in one request, those with an ETag only while they have it."""
        listed = [{"Key": self.prefix + key, **({"ETag": tag} if tag else {})} for key, tag in tags.items()]
        try:
            answer = self._client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": listed, "Quiet": True}
            )
        except (BotoCoreError, ClientError) as error:
            raise explained(self.url, error) from None
        for failed in answer.get("Errors", []):
            if failed.get("Code") not in _OTHERS:
                kind = UnavailableError if failed.get("Code") in PASSING else StoreError
                raise kind(f"{self.url}: {failed['Key']} can't be deleted ({failed.get('Code')})")

    def tidy(self, folder: str) -> None:
        pass  # what was not wholly put is not there

    def claim(self, source: str, target: str) -> S3Claim | None:
        lease = Lease.take(self, f"{target}.lease")
        if lease is None:
            return None
        try:
            found, left = self._take(source, target)
        except BaseException:
            lease.end()
            raise
        if found is None:
            lease.end()
            return None
        if not left:
            lease.forget()  # what another one of this name has done
        return S3Claim(self, source, target, found, lease)

    def glob(self, pattern: str) -> list[str]:
        literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
        parts = pattern.split("/")
        keys = (item["Key"].removeprefix(self.prefix) for item in self._listed(self.prefix + literal))
        return sorted(key for key in keys if key == pattern or _fits(key.split("/"), parts))

    def absolute(self, reference: str) -> str:
        if "://" in reference or reference.startswith("/"):
            return reference
        return f"{_SCHEME}{self.bucket}{posixpath.normpath(f'/{self.prefix}{reference}')}"

    def key(self, absolute: str) -> str | None:
        root = f"{_SCHEME}{self.bucket}/{self.prefix}"
        inside = f"{absolute}/".startswith(root) and ".." not in absolute.split("/")
        return absolute[len(root) :] if inside else None

    def _refuses(self, key: str, absent: bool = False, match: str | None = None) -> bool:
        try:
            self.put(key, b"second", absent, match)
        except ConflictError:
            return True
        return False

    def _head(self, key: str) -> Any:
        try:
            return self._call("head_object", key)
        except (NotFoundError, UnavailableError):
            raise
        except StoreError:
            # An answer to HEAD has no body, where it would say that it is a passing fault.
            answer = self._call("get_object", key, Range="bytes=0-0")
            answer["Body"].close()
            return answer

    def _take(self, source: str, target: str) -> tuple[Object | None, bool]:
        """What is at `target` now, and whether a dead runner has left it there."""
        try:
            found = self.look(source, 2**30)
        except NotFoundError:
            found = None
        try:
            if found is not None:
                etag = self.put(target, found.data, absent=True)
                self.remove(source, match=found.etag)
                return replace(found, etag=etag), False
        except ConflictError:
            pass  # what a dead runner held comes first
        try:
            return self.look(target, 2**30), True
        except NotFoundError:
            return None, False

    def _written_before(self, key: str, data: bytes) -> str:
        # A retried request meets its own first try, if that one's answer was lost.
        try:
            found = self.look(key, len(data))
            if found.data == data:
                return found.etag
        except UnavailableError:
            raise
        except StoreError:
            pass  # gone again, or longer than ours
        raise ConflictError(f"{self.url}/{key}: something else is there already")

    def _listed(self, prefix: str, **arguments: str) -> list[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        try:
            return [
                item
                for page in pages.paginate(Bucket=self.bucket, Prefix=prefix, **arguments)
                for item in page.get("Contents", [])
                if not item["Key"].endswith("/")
            ]
        except (BotoCoreError, ClientError) as error:
            raise explained(self.url, error) from None

    def _call(self, operation: str, key: str, **arguments: object) -> Any:
        try:
            length = len((self.prefix + key).encode())
        except UnicodeEncodeError:
            raise StoreError(f"{self.url}/{key}: the name is not UTF-8; rename it") from None
        if length > _LONGEST_KEY:
            raise StoreError(f"{self.url}/{key}: the name is too long; a whole key has at most 1,024 bytes")
        try:
            return getattr(self._client, operation)(Bucket=self.bucket, Key=self.prefix + key, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise explained(f"{self.url}/{key}", error) from None


class _Cache:
    """The objects read last, up to a number of bytes."""

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


def _fits(key: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a key's parts match a pattern's, where `**` stands for any number of parts."""
    if not pattern or not key:
        return not pattern and not key
    if pattern[0] == "**":
        return _fits(key, pattern[1:]) or (not key[0].startswith(".") and _fits(key[1:], pattern))
    hidden = key[0].startswith(".") and not pattern[0].startswith(".")
    return not hidden and fnmatch.fnmatchcase(key[0], pattern[0]) and _fits(key[1:], pattern[1:])
