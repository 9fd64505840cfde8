"""WebP (RFC 9649). The decoder gets only the chunks of the pixels, so that no other can stop it."""

import io
import struct
from dataclasses import replace

from PIL import Image

from nst.decoding import pillow
from nst.decoding.opened import Opened
from nst.decoding.tags import notes_of_exif
from nst.errors import ImageError

_STILL = (b"VP8 ", b"VP8L")
_ALPHA_FLAG = 0x10


def open_webp(data: bytes) -> Opened:
    """Read the header. Raises `ImageError`."""
    chunks: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        chunks.setdefault(kind, data[at + 8 : at + 8 + size])
        if kind in _STILL and at + 8 + size > len(data):
            raise ImageError("incomplete: some of its pixels are missing")
        at += 8 + size + size % 2
    exif, xmp = chunks.get(b"EXIF", b""), chunks.get(b"XMP ", b"")
    notes = replace(notes_of_exif(exif, xmp), profile=chunks.get(b"ICCP") or None)
    image = Image.open(io.BytesIO(_file(chunks) or data), formats=["WEBP"])
    return replace(pillow.opened(image), notes=notes)


def _file(chunks: dict[bytes, bytes]) -> bytes:
    """A file of the pixels alone; nothing for an animation."""
    kinds = [kind for kind in (b"VP8X", b"ALPH", *_STILL) if kind in chunks]
    if not kinds or kinds[-1] not in _STILL:
        return b""
    body = b"WEBP"
    for kind in kinds:
        data = chunks[kind]
        if kind == b"VP8X":
            data = bytes([data[0] & _ALPHA_FLAG]) + data[1:] if data else data
        body += struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) % 2)
    return struct.pack("<4sI", b"RIFF", len(body)) + body
