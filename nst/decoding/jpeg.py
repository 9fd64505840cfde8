"""JPEG (ITU-T T.81), also as the first picture of an MPO file or with anything after it.

The metadata is read here, and the decoder gets the file without it, so that nothing in it can stop the
decoder. It also gets an end marker behind each file: a file that lacks only this marker is complete, and if
more is missing, the decoder reports missing data.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from nst.decoding import vips
from nst.decoding.opened import Opened, Samples
from nst.decoding.profiles import profile_of_exif
from nst.decoding.tags import notes_of_exif, usable_dpi
from nst.errors import ImageError

_SIZES = {0xC0, 0xC1, 0xC2, 0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)}
_PROGRESSIVE, _SEQUENTIAL = (0xC2, 0xC6, 0xCA, 0xCE), (0xC0, 0xC1)
_TABLES = {0xC4, 0xCC, 0xDB, 0xDD}
_SCAN, _END = 0xDA, b"\xff\xd9"
_EXIF, _XMP, _ICC = b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
# JFIF of a version that each decoder knows. Its presence says that the colours are YCbCr.
_JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
_INCH, _CENTIMETRE = 1, 2
_SPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}  # by the number of components
_PADDING = 8  # bytes; some cameras add as many before the end marker
_MEMORY, _MEMORY_PROGRESSIVE = 16, 6


@dataclass
class _Head:
    """What stands before the first scan; `kept` is the part of it that the decoder needs."""

    kept: list[bytes] = field(default_factory=lambda: [b"\xff\xd8"])
    kind: int = 0  # the marker of the frame
    frame: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    profile: dict[int, bytes] = field(default_factory=dict)
    dpi: tuple[float, float] | None = None
    scan: int = 0  # offset of the first scan


def open_jpeg(data: bytes) -> Opened:
    """Read the header. Raises `ImageError`."""
    head = _head(data)
    if len(head.frame) < 6 or not head.scan:
        raise ImageError("incomplete: it ends before its pixels")
    height, width = struct.unpack_from(">HH", head.frame, 1)
    notes = notes_of_exif(head.exif, head.xmp)
    profile = b"".join(part for _, part in sorted(head.profile.items())) or profile_of_exif(notes.exif)

    def read(shrink: int) -> Samples:
        _check_scans(data, head)
        pixels = _decoded(_cleaned(data, head), head.frame[5], -(-height // shrink), -(-width // shrink))
        rows, columns, bands = pixels.shape
        return Samples(vips.of_pixels(pixels, columns, rows, bands, "uchar"), pixels=pixels)

    return Opened(
        width,
        height,
        replace(notes, dpi=head.dpi or notes.dpi, profile=profile),
        read,
        _MEMORY,
        _MEMORY_PROGRESSIVE if head.kind in _PROGRESSIVE else 0,
        shrinks=True,
    )


def _head(data: bytes) -> _Head:
    head = _Head()
    for marker, at, body in _segments(data, 2):
        if marker == _SCAN:
            head.scan = at
            return head
        if marker in _SIZES:
            head.kind, head.frame = marker, body
        if marker in _SIZES | _TABLES:
            head.kept.append(data[at : at + 4] + body)
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            head.kept.append(_JFIF)
            head.dpi = _jfif_dpi(body)
        elif marker == 0xE1 and body.startswith(_EXIF):
            head.exif = head.exif or body[6:]
        elif marker == 0xE1 and body.startswith(_XMP):
            head.xmp = head.xmp or body[len(_XMP) :]
        elif marker == 0xE2 and body.startswith(_ICC) and len(body) > 14:
            head.profile.setdefault(body[12], body[14:])
        elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12 and body[11] <= 2:
            head.kept.append(data[at : at + 4] + body)
    return head


# A marker with a segment, or the end marker. Restart markers and stuffed zeros belong to a scan.
_MARKER = re.compile(rb"\xff[\xc0-\xcf\xd9-\xfe]")


def _segments(data: bytes, at: int) -> Iterator[tuple[int, int, bytes]]:
    """Marker, offset and content of each segment to the end; bytes between them are skipped.

    The last one is the end marker, if there is one.
    """
    while found := _MARKER.search(data, at):
        at, marker = found.start(), data[found.start() + 1]
        if marker == _END[1]:
            yield marker, at, b""
            return
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if length >= 2:
            yield marker, at, data[at + 4 : at + 2 + length]
        at += 2 + length


def _jfif_dpi(body: bytes) -> tuple[float, float] | None:
    if len(body) < 12:
        return None
    unit, across, down = struct.unpack_from(">BHH", body, 7)
    factor = {_INCH: 1.0, _CENTIMETRE: 2.54}.get(unit)
    return usable_dpi(across * factor, down * factor) if factor else None


def _check_scans(data: bytes, head: _Head) -> None:
    """Raise `ImageError` if scans are missing, and the end marker with them.

    A progressive picture is sent bit by bit: a coefficient of a component is complete once a scan has sent
    its lowest bit. A sequential picture may have a scan for each component.
    """
    progressive = head.kind in _PROGRESSIVE
    missing = {(component, n) for component in head.frame[6::3] for n in range(64)}
    for marker, _, body in _segments(data, head.scan):
        if marker == _END[1]:
            return
        if marker != _SCAN or not body or len(body) < 4 + 2 * body[0]:
            continue
        components, (first, last, bits) = body[1 : 1 + 2 * body[0] : 2], body[1 + 2 * body[0] :][:3]
        if not progressive:
            first, last, bits = 0, 63, 0
        if not bits & 15:
            missing -= {(component, n) for component in components for n in range(first, last + 1)}
        if not missing and not progressive:
            return
    if missing:
        raise ImageError("incomplete: some of its scans are missing")


def _decoded(data: bytes, components: int, height: int, width: int) -> NDArray[np.uint8]:
    """The pixels `(height, width, bands)`, of sides that are at least these. Raises `ImageError`."""
    if components not in _SPACES:
        raise ImageError(f"a JPEG of {components} colours, which no program can show")
    space, options = _SPACES[components], {"min_height": height, "min_width": width}
    try:
        pixels: NDArray[np.uint8] = simplejpeg.decode_jpeg(data, space, **options)
    except ValueError as error:
        surplus = re.search(r"(\d+) extraneous bytes before marker 0xd9", str(error))
        if not surplus or not _is_padding(data, int(surplus[1])):
            raise ImageError(f"incomplete or damaged ({error})") from None
        pixels = simplejpeg.decode_jpeg(data, space, strict=False, **options)
    return 255 - pixels if space == "CMYK" else pixels  # as all programs store it


def _is_padding(data: bytes, size: int) -> bool:
    """Whether so many bytes before the end marker mean nothing, and are not the rest of damaged pixels."""
    end = data.index(_END, data.rindex(b"\xff\xda"))
    return size <= _PADDING or not data[end - size : end].strip(b"\0\xff")


def _cleaned(data: bytes, head: _Head) -> bytes:
    """The file without what the decoder does not need, and with an end marker."""
    end = head.scan + 2 + int.from_bytes(data[head.scan + 2 : head.scan + 4], "big")
    scan = data[head.scan : end]
    if head.kind in _SEQUENTIAL:
        scan = scan[:-3] + b"\0\x3f\0"  # the only values there are; some programs write others
    return b"".join([*head.kept, scan, memoryview(data)[end:], _END])
