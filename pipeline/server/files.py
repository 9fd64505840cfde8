"""Serves files of the outbox, with ETags, ranges and types, so that nothing in them runs in a browser."""

import hashlib
import mimetypes
import re
from functools import partial

from fastapi import Request
from fastapi.responses import Response

from pipeline.server.door import Door
from pipeline.server.problems import RefusedError

_LARGEST = 2**30  # bytes of a file
# A sandbox: no script, no form and no frame, and another origin than that of this server.
_POLICY = (
    "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
# All that the program writes. Whatever else lies there is saved and not shown.
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    **{suffix: mimetypes.types_map[suffix] for suffix in (".png", ".jpg")},
    ".webp": "image/webp",
}
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})")


async def file_response(door: Door, key: str, request: Request) -> Response:
    """A file of the outbox, or the part of it that the request asks for.

    Raises `RefusedError` for a range outside of it, and `StoreError`.
    """
    data = (await door.read(partial(door.outbox.store.fetch, key, _LARGEST)))[0]
    etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    suffix = f".{key.rpartition('.')[2].lower()}"
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": _POLICY,
    }
    if suffix not in _TYPES:
        headers["Content-Disposition"] = "attachment"
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    kind = _TYPES.get(suffix, "application/octet-stream")
    part = _part(request, etag, len(data))
    if part is None:
        return Response(data, 200, headers, kind)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(data)}"
    return Response(data[part.start : part.stop], 206, headers, kind)


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has the content with this ETag already."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return "*" in known or etag in known


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
