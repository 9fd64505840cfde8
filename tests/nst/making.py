"""Makes files of pictures byte by byte, for what Pillow does not write."""

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SHORT, LONG, BYTE, RATIONAL, TEXT, SIGNED = 3, 4, 1, 5, 2, 9
_LETTERS = {BYTE: "B", TEXT: "B", 7: "B", SHORT: "H", LONG: "I", RATIONAL: "I", SIGNED: "i"}
Entries = Mapping[int, tuple[int, Sequence[int]]]


def tiff(entries: Entries, data: bytes = b"", order: str = "<", below: Entries | None = None) -> bytes:
    """A TIFF structure of one directory; `data` is at offset 8, and `below` a subdirectory (tag 330)."""
    place = 8 + len(data) + len(data) % 2
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", place)
    body = head + data.ljust(place - 8, b"\0")
    if below is not None:
        entries = {**entries, 330: (LONG, [place + directory_size(entries, 1)])}
    body += directory(entries, place, order)
    return body + (directory(below, len(body), order) if below is not None else b"")


def directory_size(entries: Entries, more: int = 0) -> int:
    """Bytes of a directory with so many more entries of four bytes."""
    return len(directory(entries, 0)) + 12 * more


def directory(entries: Entries, place: int, order: str = "<") -> bytes:
    """The bytes of a directory that begins at this offset."""
    table, beyond = struct.pack(order + "H", len(entries)), b""
    end = place + 2 + 12 * len(entries) + 4
    for tag, (kind, numbers) in sorted(entries.items()):
        value = struct.pack(f"{order}{len(numbers)}{_LETTERS[kind]}", *numbers)
        count = len(numbers) // (2 if kind == RATIONAL else 1)
        if len(value) > 4:
            place_of_value = struct.pack(order + "I", end + len(beyond))
            beyond += value + b"\0" * (len(value) % 2)
            value = place_of_value
        table += struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")
    return table + bytes(4) + beyond


def tiff_of(
    pixels: np.ndarray[Any, Any],
    photometric: int,
    order: str = "<",
    sample: int = 1,
    more: Entries | None = None,
    below: Entries | None = None,
) -> bytes:
    """A TIFF of these samples `(height, width)` or `(height, width, bands)`.

    `sample` is the kind of samples: 1 unsigned, 2 signed, 3 float. `more` has more entries; for `below` see
    `tiff`.
    """
    bands = pixels.shape[2] if pixels.ndim == 3 else 1
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    entries = {
        256: (LONG, [pixels.shape[1]]),
        257: (LONG, [pixels.shape[0]]),
        258: (SHORT, [pixels.dtype.itemsize * 8] * bands),
        259: (SHORT, [1]),
        262: (SHORT, [photometric]),
        273: (LONG, [8]),
        277: (SHORT, [bands]),
        278: (LONG, [pixels.shape[0]]),
        279: (LONG, [len(data)]),
        339: (SHORT, [sample] * bands),
    }
    return tiff({**entries, **(more or {})}, data, order, below)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kinds and contents of the chunks of a PNG file."""
    found, at = [], 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png(*chunks: tuple[bytes, bytes], wrong: bytes = b"") -> bytes:
    """A PNG file of these chunks; those of the kind `wrong` get a wrong checksum."""
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        checksum = zlib.crc32(kind + data) ^ (kind == wrong)
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)
    return out


def png_header(width: int, height: int, bits: int = 8, kind: int = 2) -> tuple[bytes, bytes]:
    """The first chunk of a PNG file, by default of one with 8-bit RGB."""
    return b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)


def without_pixels(width: int, height: int) -> bytes:
    """A PNG that ends where its pixels would begin."""
    return png(png_header(width, height)) + struct.pack(">I", 999) + b"IDAT"


def with_chunk(data: bytes, kind: bytes, content: bytes, wrong: bytes = b"") -> bytes:
    """A PNG file with one more chunk before its pixels."""
    chunks = png_chunks(data)
    return png(chunks[0], (kind, content), *chunks[1:], wrong=wrong)


def png_of(
    pixels: np.ndarray[Any, Any], kind: int, *chunks: tuple[bytes, bytes], interlaced: bool = False
) -> bytes:
    """A PNG of these samples `(height, width, bands)`, of 8 or 16 bits."""
    height, width = pixels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, pixels.dtype.itemsize * 8, kind, 0, 0, interlaced)
    rows = b"".join(b"\0" + row.astype(row.dtype.newbyteorder(">")).tobytes() for row in pixels)
    return png((b"IHDR", header), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b""))


def jpeg_with(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more segments behind its beginning; the numbers are their markers."""
    more = b"".join(struct.pack(">BBH", 255, marker, len(body) + 2) + body for marker, body in segments)
    return data[:2] + more + data[2:]
