"""What AVIF and HEIC (ISO 14496-12, 23008-12) and JPEG 2000 (15444-1) say in boxes beside their pixels."""

import struct
from collections.abc import Iterator

_MOST_BOXES = 4096
_JPEG_2000_EXIF = b"JpgTiffExif->JP2"


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box of this content, up to the first that is broken or cut off."""
    at = 0
    for _ in range(_MOST_BOXES):
        if at + 8 > len(data):
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1 and at + 16 <= len(data):
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        if size == 0:
            size = len(data) - at
        if size < head:
            return
        yield kind, data[at + head : at + size]
        at += size


def brands(data: bytes) -> set[bytes]:
    """The brands that a file names in its first box; none for other files."""
    kind, content = next(boxes(data[:4096]), (b"", b""))
    return (
        {content[:4], *(content[n : n + 4] for n in range(8, len(content), 4))} if kind == b"ftyp" else set()
    )


def inside(data: bytes, *path: bytes) -> bytes:
    """The content of the first box at this path; nothing if there is none."""
    for name in path:
        data = next((content for kind, content in boxes(data) if kind == name), b"")
        if name == b"meta":
            data = data[4:]  # version and flags
    return data


def coded_colours(data: bytes) -> tuple[int, int] | None:
    """The numbers of primaries and transfer (H.273) of the main image of an AVIF or HEIC file."""
    meta = inside(data, b"meta")
    properties = list(boxes(inside(meta, b"iprp", b"ipco")))
    primary = inside(meta, b"pitm")
    item = int.from_bytes(primary[4:6] if primary[:1] == b"\0" else primary[4:8], "big")
    for index in _properties_of(inside(meta, b"iprp", b"ipma"), item):
        if 0 < index <= len(properties):
            kind, content = properties[index - 1]
            if kind == b"colr" and content[:4] == b"nclx" and len(content) >= 8:
                return struct.unpack_from(">HH", content, 4)
    return None


def _properties_of(table: bytes, item: int) -> list[int]:
    """The numbers of the properties of an item, from 1, in an `ipma` box."""
    if len(table) < 8:
        return []
    number, index = (4 if table[0] else 2), (2 if table[3] & 1 else 1)
    (count,), at = struct.unpack_from(">I", table, 4), 8
    for _ in range(min(count, _MOST_BOXES)):
        if at + number >= len(table):
            break
        this, associated = int.from_bytes(table[at : at + number], "big"), table[at + number]
        at += number + 1
        if this == item:
            mask = 0x7FFF if index == 2 else 0x7F
            ends = range(at, at + associated * index, index)
            return [int.from_bytes(table[n : n + index], "big") & mask for n in ends]
        at += associated * index
    return []


def jpeg_2000_notes(data: bytes) -> tuple[bytes | None, bytes]:
    """The ICC profile and the EXIF of a JPEG 2000 file."""
    profile, exif = None, b""
    for kind, content in boxes(data):
        if kind == b"uuid" and content.startswith(_JPEG_2000_EXIF):
            exif = exif or content[16:]
    for kind, content in boxes(inside(data, b"jp2h")):
        if kind == b"colr" and content[:1] in (b"\2", b"\3"):
            profile = profile or content[3:]
    return profile, exif
