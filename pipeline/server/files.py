"""Serves files of the outbox, with ETags, ranges and types, so that nothing in them runs in a browser."""

import re
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from pipeline.errors import ConflictError, NotFoundError, UnavailableError
from pipeline.server.door import Door
from pipeline.server.etags import etag_of, is_known
from pipeline.server.pictures import SUFFIXES
from pipeline.server.problems import RefusedError
from pipeline.stores.base import Entry

_SIZE = 2**22  # bytes that are read from the store and sent at once
_TRIES = 3  # with a file that is replaced between two requests to its store
# A sandbox without scripts, forms and frames. `allow-same-origin`: otherwise the requests of a page for its
# pictures come from another site, and `Access` refuses them. `allow-downloads`: otherwise the browser blocks
# links to files that it does not show, such as TIFF pictures and loss logs.
_POLICY = (
    "sandbox allow-same-origin allow-downloads; default-src 'none'; img-src 'self'; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# All that the program writes. Whatever else lies there is saved and not shown.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    **SUFFIXES,
}
_CONDITIONS = {"if-none-match", "range"}  # headers that need the version of the file before its content
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


async def file_response(door: Door, key: str, request: Request) -> Response:
    """A file of the outbox, or the part of it that the request asks for; both are of one version.

    Raises `RefusedError` for a range outside of it, and `StoreError`. If the file is replaced after the
    beginning was sent, the connection ends before the answer is whole.
    """
    for _ in range(_TRIES):
        with suppress(ConflictError):
            return await _answer(door, key, request)
    raise UnavailableError(f"{key}: is replaced again and again; try again later")


async def _answer(door: Door, key: str, request: Request) -> Response:
    """The answer to a request. Raises `ConflictError` if the file is replaced in the meantime."""
    store, first = door.outbox.store, None
    if _CONDITIONS.isdisjoint(request.headers) and request.method != "HEAD":
        first = await door.read(partial(store.part, key, 0, _SIZE))
        entry = first.entry
    else:
        entry = await _found(door, key)
    etag = etag_of(entry.tag or entry.version)
    headers, kind = _headers(key, etag)
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    part = _part(request, etag, entry.size)
    wanted = range(entry.size) if part is None else part
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{entry.size}"
    headers["Content-Length"] = str(len(wanted))
    status = 200 if part is None else 206
    if request.method == "HEAD":
        return Response(None, status, headers, kind)
    if first is None:
        first = await door.read(partial(store.part, key, wanted.start, _size(wanted), entry.version))
    if len(first.data) == len(wanted):
        return Response(first.data, status, headers, kind)
    return StreamingResponse(_stream(door, key, entry, first.data, wanted), status, headers, kind)


async def _found(door: Door, key: str) -> Entry:
    """The entry of a file. Raises `NotFoundError`."""
    entry = await door.read(partial(door.outbox.store.entry, key))
    if entry is None:
        raise NotFoundError(f"{key}: no such file")
    return entry


async def _stream(door: Door, key: str, entry: Entry, first: bytes, wanted: range) -> AsyncIterator[bytes]:
    """The bytes of a range, of which `first` was read already. Raises `StoreError`."""
    yield first
    left = wanted[len(first) :]
    while left:
        part = await door.read(partial(door.outbox.store.part, key, left.start, _size(left), entry.version))
        yield part.data
        left = left[len(part.data) :]


def _size(left: range) -> int:
    """How many bytes of a range are read at once."""
    return max(1, min(_SIZE, len(left)))


def _headers(key: str, etag: str) -> tuple[dict[str, str], str]:
    """The headers that each answer about a file has, and its type."""
    suffix = f".{key.rpartition('.')[2].lower()}"
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _POLICY,
    }
    if suffix not in _TYPES:
        headers["Content-Disposition"] = "attachment"
    return headers, _TYPES.get(suffix, "application/octet-stream")


def _part(request: Request, etag: str, size: int) -> range | None:
    """The bytes that the request asks for; none for all of them. Several ranges count as none."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if request.method != "GET" or match is None or match[1] == match[2] == "":
        return None
    if request.headers.get("if-range", etag) != etag:
        return None
    if match[1]:
        part = range(int(match[1]), min(size, int(match[2]) + 1 if match[2] else size))
    else:
        part = range(max(0, size - int(match[2])), size)
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return None
    if not part:
        detail = f"the file has {size:,} bytes; ask for a part of them"
        raise RefusedError(416, detail, headers={"Content-Range": f"bytes */{size}"})
    return part
