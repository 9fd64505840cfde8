"""ETags of answers: how they are made, and whether a client has the content already."""

import hashlib

from fastapi import Request


def etag_of(content: bytes | str) -> str:
    """The ETag of a content, or of a text that differs for every other content. It shows nothing of it."""
    data = content.encode() if isinstance(content, str) else content
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has the content with this ETag already."""
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    return "*" in known or etag in known
