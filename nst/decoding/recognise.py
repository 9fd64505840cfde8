"""Recognises the format of a file by its first bytes."""

import re
from collections.abc import Callable

from PIL import UnidentifiedImageError

from nst.decoding import boxes, pillow
from nst.decoding.heif import open_avif, open_heic
from nst.decoding.jpeg import open_jpeg
from nst.decoding.jpeg_2000 import open_jpeg_2000
from nst.decoding.opened import Opened
from nst.decoding.png import SIGNATURE, open_png
from nst.decoding.tiff import is_raw, open_tiff
from nst.decoding.webp import open_webp
from nst.errors import ImageError

_RAW = (
    b"FUJIFILMCCD-RAW",
    b"FOVb",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\0",
    b"\0MRM",
    b"HEAPCCDR",
    b"\0\0\0\0IIU\0",
)
_JPEG_2000 = b"\0\0\0\x0cjP  \r\n\x87\n"
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF = {b"avif", b"avis"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Bytes before the picture are skipped up to the first of these.
_BEGINNINGS = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|RIFF....WEBP|GIF8[79]a|II\*\0|MM\0\*", re.DOTALL)
_MOST_BEFORE = 1024
# Formats of other things, which may contain a picture.
_OTHERS = (b"%PDF", b"ID3", b"PK\3\4", b"%!PS", b"8BPS", b"{\\rtf", b"\xd0\xcf\x11\xe0")


def open_picture(data: bytes) -> Opened:
    """Read the header of a picture. Raises `ImageError`, and errors of the decoders of many types."""
    _refuse_raw(data)
    if opener := _opener(data):
        return opener(data)
    try:
        return pillow.open_file(data)
    except UnidentifiedImageError:
        begin = _BEGINNINGS.search(data[: _MOST_BEFORE + 16])
        if not begin or not begin.start() or data.startswith(_OTHERS):
            raise
        return open_picture(data[begin.start() :])


def _opener(data: bytes) -> Callable[[bytes], Opened] | None:
    if data.startswith(b"\xff\xd8"):
        return open_jpeg
    if data.startswith(SIGNATURE):
        return open_png
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return open_webp
    if data.startswith(_TIFF):
        return open_tiff
    if data.startswith(_JPEG_2000):
        return open_jpeg_2000
    named = boxes.brands(data)
    if named & _AVIF:
        return open_avif
    if named & _HEIC:
        return open_heic
    return None


def _refuse_raw(data: bytes) -> None:
    if data.startswith(_RAW) or boxes.brands(data) & {b"crx "} or is_raw(data):
        raise ImageError("a camera's raw file, which must be developed first; save it as TIFF, PNG or JPEG")
