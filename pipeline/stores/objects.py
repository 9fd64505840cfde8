"""Requests to an S3 server about the objects under one prefix of a bucket."""

import mimetypes
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from pipeline.errors import (
    ConflictError,
    NameRefusedError,
    NotFoundError,
    StoreError,
    TooLargeError,
    UnavailableError,
    UsageError,
)
from pipeline.stores.aws import FAULTS, NO_SERVER, TEMPORARY, content_md5, explained

SCHEME = "s3://"
_LONGEST_KEY = 1024  # bytes; not every server checks this
# Answers to a conditional delete where the object is newer, is being written, or does not exist any more.
_CHANGED = {"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey"}
# Only the types that are named here and in Python itself, so that no file of the machine changes them.
_TYPES = mimetypes.MimeTypes()
_TYPES.add_type("image/webp", ".webp")  # Python has it from 3.13 on
_TYPES.add_type("application/x-ndjson", ".jsonl")
_READS = 4  # attempts at a body during which the connection breaks; botocore does not retry these


@dataclass(frozen=True)
class Head:
    """What is known of an object whose content was not read."""

    etag: str
    size: int  # bytes
    modified: datetime  # by the clock of the server


@dataclass(frozen=True)
class Object(Head):
    """An object that was read, or a part of it. `age` is the same guess as in `Listed`."""

    data: bytes
    age: float


@dataclass(frozen=True)
class Listed:
    """One object of a listing.

    `age` is how many seconds ago, at least, it was written, by the dates that the server sent. A proxy may
    have changed these. 0 if there is no date.
    """

    key: str
    size: int  # bytes
    etag: str
    modified: float  # seconds since the epoch, by the clock of the server
    age: float


class Objects:
    """The objects under `s3://bucket/prefix`. Keys are relative to the prefix."""

    def __init__(self, url: str, client: Any) -> None:
        """Raises `UsageError` for any other URL."""
        bucket, _, prefix = url.removeprefix(SCHEME).partition("/")
        proper = url.startswith(SCHEME) and url.isprintable()
        if not proper or not re.fullmatch(r"[\w.-]{3,63}", bucket):
            raise UsageError(f"{url}: an S3 URL is s3://BUCKET/PREFIX")
        self.client, self.bucket, self.prefix = client, bucket, f"{prefix.strip('/')}/".lstrip("/")
        self.url = f"{SCHEME}{bucket}/{self.prefix}".rstrip("/")

    def get(self, key: str, limit: int, **headers: str) -> Object:
        """Read an object, or with the header `Range` a part of it.

        Raises `NotFoundError`, and `TooLargeError` if what the server sends exceeds `limit` bytes.
        """
        for _ in range(_READS):
            answer = self._request("get_object", key, **headers)
            head = self._head_of(key, answer)
            if answer["ContentLength"] > limit:
                answer["Body"].close()
                raise TooLargeError.of(f"{self.url}/{key}", head.size, limit, head.etag)
            with suppress(BotoCoreError, HTTPError, OSError):
                data = answer["Body"].read()
                return Object(head.etag, head.size, head.modified, data, _age(answer, head.modified))
        raise UnavailableError(f"{self.url}/{key}: the connection broke {_READS} times")

    def head(self, key: str) -> Head:
        """Size, ETag and time of an object. Raises `NotFoundError`."""
        try:
            return self._head_of(key, self._request("head_object", key))
        except (NotFoundError, UnavailableError):
            raise
        except StoreError:
            # The answer to HEAD has no body, so that it does not say whether this is a temporary fault.
            answer = self._request("get_object", key, Range="bytes=0-0")
            answer["Body"].close()
            return self._head_of(key, answer)

    def tag(self, key: str) -> str | None:
        """The ETag of an object; none if there is no such object."""
        try:
            return self.head(key).etag
        except NotFoundError:
            return None

    def put(self, key: str, data: bytes, absent: bool = False, match: str | None = None) -> str:
        """Write an object and return its ETag.

        With `absent`, only if there is no object; with `match`, only if the object has this ETag. Raises
        `ConflictError` otherwise, but not where the object there is the one that this call was to write.
        """
        condition = {"IfNoneMatch": "*"} if absent else {"IfMatch": match} if match else {}
        kind = _TYPES.guess_type(key)[0] or "application/octet-stream"
        try:
            answer = self._request(
                "put_object", key, Body=data, ContentType=kind, ContentMD5=content_md5(data), **condition
            )
        except ConflictError:
            return self._written_before(key, data)
        except NotFoundError:
            # This is how some servers refuse to write over an object that does not exist any more.
            raise ConflictError(f"{self.url}/{key}: was deleted") from None
        return str(self._with(key, answer, "ETag")["ETag"])

    def copy(self, source: str, target: str, match: str) -> str:
        """Let the server copy an object if it has the ETag `match`. Returns the ETag of the copy.

        An object at `target` is replaced. Raises `NotFoundError`, and `ConflictError` if the ETag is another.
        """
        place = {"Bucket": self.bucket, "Key": self.prefix + source}
        answer = self._request("copy_object", target, CopySource=place, CopySourceIfMatch=match)
        return _quoted(self._with(target, answer.get("CopyObjectResult", {}), "ETag")["ETag"])

    def delete(self, key: str, match: str | None = None, written: datetime | None = None) -> None:
        """Delete an object if it exists; with `match`, only if it has this ETag.

        With `written` as well, not if it was written after that: the same bytes have the same ETag.
        """
        # The ETag is checked first, because some servers ignore the condition of a delete. A conflict
        # means that somebody has written a newer object, which has to stay.
        if match and not self._is(key, match, written):
            return
        with suppress(ConflictError, NotFoundError):
            self._request("delete_object", key, **({"IfMatch": match} if match else {}))

    def delete_all(self, tags: Mapping[str, str | None]) -> None:
        """Delete several objects in one request, each if it exists and has the ETag that is given for it."""
        listed = [{"Key": self.prefix + key, **({"ETag": tag} if tag else {})} for key, tag in tags.items()]
        try:
            answer = self.client.delete_objects(Bucket=self.bucket, Delete={"Objects": listed, "Quiet": True})
        except FAULTS as error:
            raise explained(self.url, error) from None
        for failed in answer.get("Errors", []):
            if failed.get("Code") not in _CHANGED:
                kind = UnavailableError if failed.get("Code") in TEMPORARY else StoreError
                raise kind(f"{self.url}: {failed['Key']} can't be deleted ({failed.get('Code')})")

    def listed(self, start: str, **arguments: object) -> list[Listed]:
        """The objects whose keys begin with `start`, without markers of folders."""
        return [
            Listed(
                item["Key"].removeprefix(self.prefix),
                item["Size"],
                _quoted(item["ETag"]),
                item["LastModified"].timestamp(),
                _age(page, item["LastModified"]),
            )
            for page in self._pages(start, **arguments)
            for item in page.get("Contents", [])
            if not item["Key"].endswith("/")
        ]

    def keys(self, start: str, most: int) -> Iterator[str]:
        """The keys of the first `most` objects that begin with `start`; those of folders end with a slash."""
        for page in self._pages(start, PaginationConfig={"MaxItems": most}):
            for item in page.get("Contents", []):
                yield item["Key"].removeprefix(self.prefix)

    def names(self, start: str, most: int) -> list[str]:
        """What follows `start` in the keys that begin with it, up to the first slash; at most so many."""
        found: list[str] = []
        for page in self._pages(start, Delimiter="/"):
            found += [item["Key"] for item in page.get("Contents", [])]
            found += [item["Prefix"] for item in page.get("CommonPrefixes", [])]
            if len(found) > most:  # one of them may be a marker of this folder
                break
        whole = self.prefix + start
        return [key.removeprefix(whole) for key in found if key != whole][:most]

    def _pages(self, start: str, **arguments: object) -> Iterator[Any]:
        """The answers of the server to a listing of the keys that begin with `start`."""
        pages = self.client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self.bucket, Prefix=self._whole(start), **arguments):
                if "IsTruncated" not in page:  # any XML would look like an empty listing
                    raise UnavailableError(f"{self.url}: {NO_SERVER}")
                yield page
        except FAULTS as error:
            raise explained(self.url, error) from None

    def _is(self, key: str, etag: str, written: datetime | None) -> bool:
        try:
            found = self.head(key)
        except NotFoundError:
            return False
        return found.etag == etag and (written is None or found.modified <= written)

    def _with(self, key: str, answer: Any, *fields: str) -> Any:
        """The answer, which has these fields. Raises `UnavailableError` if it is the page of a proxy."""
        if not answer.keys() >= set(fields):
            raise UnavailableError(f"{self.url}/{key}: {NO_SERVER}")
        return answer

    def _head_of(self, key: str, answer: Any) -> Head:
        self._with(key, answer, "ETag", "LastModified", "ContentLength")
        # Where the answer is a part, the length is that of the part.
        whole = answer.get("ContentRange", "").rpartition("/")[2]
        return Head(answer["ETag"], int(whole or answer["ContentLength"]), answer["LastModified"])

    def _written_before(self, key: str, data: bytes) -> str:
        # The client retries a request whose answer was lost. The retry then meets its own first try.
        try:
            found = self.get(key, len(data))
            if found.data == data:
                return found.etag
        except UnavailableError:
            raise
        except StoreError:
            pass  # deleted meanwhile, or longer than `data`
        raise ConflictError(f"{self.url}/{key}: something else is there already")

    def _whole(self, key: str) -> str:
        """The key in the bucket. Raises `NameRefusedError` if there cannot be such a key."""
        try:
            length = len((self.prefix + key).encode())
        except UnicodeEncodeError:
            raise NameRefusedError(f"{self.url}/{key}: the name is not UTF-8; rename it") from None
        if length > _LONGEST_KEY:
            message = f"{self.url}/{key}: the name is too long; a whole key has at most 1,024 bytes"
            raise NameRefusedError(message)
        return self.prefix + key

    def _request(self, operation: str, key: str, **arguments: object) -> Any:
        whole = self._whole(key)
        try:
            return getattr(self.client, operation)(Bucket=self.bucket, Key=whole, **arguments)
        except FAULTS as error:
            raise explained(f"{self.url}/{key}", error) from None


def _quoted(etag: str) -> str:
    """An ETag as in a header; in the body of an answer, some servers leave out the quotes."""
    bare = etag.strip('"')
    return f'"{bare}"'


def _age(answer: Any, written: datetime) -> float:
    """For how many seconds an object was there, at least, by the date of an answer."""
    date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    # Both are whole seconds, so that a difference of one second may be just above zero.
    return (parsedate_to_datetime(date) - written).total_seconds() - 1 if date else 0.0
