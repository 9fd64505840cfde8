"""PNG, third edition.

The decoder gets only the chunks that it needs for the pixels, with new checksums, so that nothing in another
chunk can stop it. The checksum within the compressed pixels (Adler-32) shows whether they are right.
"""

import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace

from nst.decoding import vips
from nst.decoding.opened import Notes, Opened, Samples
from nst.decoding.profiles import coded_profile, gamma_profile
from nst.decoding.tags import notes_of_exif, usable_dpi
from nst.errors import ImageError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the colour type
_GREYS = (0, 4)
_MOST = 2**22  # bytes of a profile, and of EXIF in a text
_MOST_EXPANDED = 1032  # bytes that one byte can become at most, as its format (RFC 1951) allows
_INCH = 0.0254  # metres
_MEMORY, _MEMORY_ALPHA, _MEMORY_DEEP, _MEMORY_INTERLACED = 16, 20, 24, 8
# Steps and first pixels of the passes of an interlaced picture, horizontally and vertically.
_PASSES = ((8, 0, 8, 0), (8, 4, 8, 0), (4, 0, 8, 4), (4, 2, 4, 0), (2, 0, 4, 2), (2, 1, 2, 0), (1, 0, 2, 1))


@dataclass
class _Chunks:
    """The chunks of a file: the first of each kind, and all that have pixels."""

    first: dict[bytes, bytes] = field(default_factory=dict)
    texts: dict[bytes, tuple[bytes, bytes]] = field(default_factory=dict)  # kind and text, by the key
    pixels: list[bytes] = field(default_factory=list)
    ended: bool = False


def open_png(data: bytes) -> Opened:
    """Read the header. Raises `ImageError`."""
    found = _chunks(data)
    header = found.first.get(b"IHDR", b"")
    if len(header) < 13:
        raise ImageError("incomplete: it ends before its pixels")
    width, height, depth, kind, *_, interlaced = struct.unpack_from(">IIBBBBB", header)
    alpha = kind in (4, 6) or b"tRNS" in found.first
    memory = _MEMORY_DEEP if depth == 16 else _MEMORY_ALPHA if alpha or kind == 3 else _MEMORY

    def read(shrink: int) -> Samples:
        image = vips.lazy("png", _file(found))
        return Samples(vips.shrunk(image, shrink), alpha)

    return Opened(
        width,
        height,
        _notes(found),
        read,
        memory,
        _MEMORY_INTERLACED if interlaced else 0,
        shrinks=not alpha,
    )


def _chunks(data: bytes) -> _Chunks:
    found, at = _Chunks(), len(SIGNATURE)
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + length]
        at += 12 + length
        if kind == b"IDAT":
            found.pixels.append(body)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            key, _, text = body.partition(b"\0")
            found.texts.setdefault(key, (kind, text))
        elif kind == b"IEND":
            found.ended = True
            break
        else:
            found.first.setdefault(kind, body)
    return found


def _file(found: _Chunks) -> bytes:
    """A PNG file of the pixels alone."""
    header, pixels = found.first[b"IHDR"][:13], b"".join(found.pixels)
    if _row_bytes(header) > _MOST_EXPANDED * len(pixels):
        raise ImageError("incomplete: some of its rows are missing")
    if not found.ended:
        pixels = _completed(header, pixels)
    chunks = [(b"IHDR", header), *((k, found.first[k]) for k in (b"PLTE", b"tRNS") if k in found.first)]
    chunks += [(b"IDAT", pixels), (b"IEND", b"")]
    parts = [SIGNATURE]
    for kind, body in chunks:
        parts += [
            struct.pack(">I4s", len(body), kind),
            body,
            struct.pack(">I", zlib.crc32(body, zlib.crc32(kind))),
        ]
    return b"".join(parts)


def _row_bytes(header: bytes) -> int:
    """Bytes of all rows of a picture before they are compressed."""
    width, height, depth, kind, *_, interlaced = struct.unpack(">IIBBBBB", header)
    bits, needed = depth * _CHANNELS.get(kind, 4), 0
    for across, left, down, top in _PASSES if interlaced else ((1, 0, 1, 0),):
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        needed += rows * (1 + -(-columns * bits // 8)) if columns > 0 and rows > 0 else 0
    return needed


def _completed(header: bytes, packed: bytes) -> bytes:
    """The compressed pixels of a file that was cut off, if all of them are there. Raises `ImageError`."""
    needed = _row_bytes(header)
    try:
        found = zlib.decompressobj().decompress(packed, needed)
    except zlib.error:
        found = b""
    if len(found) < needed:
        raise ImageError("incomplete: some of its rows are missing")
    return zlib.compress(found, 1)


def _notes(found: _Chunks) -> Notes:
    """Raises `ImageError` for colours that sRGB cannot show."""
    exif = found.first.get(b"eXIf") or _exif_in_text(found)
    notes = notes_of_exif(exif, found.texts.get(b"XML:com.adobe.xmp", (b"", b""))[1])
    density = found.first.get(b"pHYs", b"")
    if len(density) >= 9 and density[8] == 1:
        across, down = struct.unpack_from(">II", density)
        notes = replace(notes, dpi=usable_dpi(across * _INCH, down * _INCH) or notes.dpi)
    return replace(notes, profile=_profile(found))


def _profile(found: _Chunks) -> bytes | None:
    """The profile of the colours, by the precedence that the standard gives to the chunks (4.3)."""
    grey = found.first[b"IHDR"][9] in _GREYS
    coded, packed = found.first.get(b"cICP", b""), found.first.get(b"iCCP", b"").partition(b"\0")[2]
    if len(coded) >= 2:
        return coded_profile(coded[0], coded[1], grey)
    if packed:
        return _unpacked(packed[1:]) or None
    if b"sRGB" in found.first:
        return None
    gamma, points = found.first.get(b"gAMA", b""), found.first.get(b"cHRM", b"")
    exponent = struct.unpack_from(">I", gamma)[0] / 100_000 if len(gamma) >= 4 else None
    if len(points) < 32:
        return gamma_profile(exponent, None, grey)
    x, y, *corners = (value / 100_000 for value in struct.unpack_from(">8I", points))
    return gamma_profile(exponent, (*corners, x, y), grey)


def _exif_in_text(found: _Chunks) -> bytes:
    """EXIF as ImageMagick wrote it before there was a chunk for it: a length and hexadecimal digits."""
    for key in (b"Raw profile type exif", b"Raw profile type APP1"):
        kind, text = found.texts.get(key, (b"", b""))
        words = (_unpacked(text[1:]) if kind == b"zTXt" else text).split()
        with suppress(ValueError):
            return bytes.fromhex(b"".join(words[2:]).decode("ascii"))
    return b""


def _unpacked(packed: bytes) -> bytes:
    """The content of a compressed chunk; nothing if it is broken or too large."""
    with suppress(zlib.error):
        unpacking = zlib.decompressobj()
        data = unpacking.decompress(packed, _MOST)
        return data if unpacking.eof else b""
    return b""
