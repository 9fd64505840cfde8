"""Reads the tags of a TIFF structure, which is also the form of EXIF, and skips the tags that are broken.

The format is TIFF 6.0, section 2, and BigTIFF.
"""

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from nst.decoding.opened import Notes

Value = tuple[float, ...] | bytes
Tags = dict[int, Value]

ORIENTATION, X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 0x0112, 0x011A, 0x011B, 0x0128
SUB_IFDS, EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 0x014A, 0x8769, 0x8825, 0xA005
_COLOR_SPACE, _INTEROPERABILITY_INDEX = 0xA001, 0x0001
_ADOBE_RGB = 2  # as a colour space; not in the standard, but some cameras write it

# By the number of a type: its letter for `struct`. Rationals are two numbers; bytes and text stay bytes.
_LETTERS = {3: "H", 4: "I", 5: "II", 8: "h", 9: "i", 10: "ii", 11: "f", 12: "d", 13: "I", 16: "Q", 18: "Q"}
_BYTES = {1, 2, 6, 7}
_MOST_TAGS = 4096
_MOST_NUMBERS = 2**16  # of one tag
_MOST_DIRECTORIES = 64


@dataclass(frozen=True)
class Structure:
    """A TIFF structure: its bytes, byte order, the offset of the first directory, whether it is a BigTIFF."""

    data: bytes
    order: str
    first: int
    big: bool = False

    @classmethod
    def of(cls, data: bytes) -> "Structure | None":
        """The structure that begins with these bytes, or None."""
        order = {b"II": "<", b"MM": ">"}.get(data[:2])
        if order is None or len(data) < 8:
            return None
        big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
        if big and len(data) < 16:
            return None
        first = struct.unpack_from(f"{order}Q", data, 8) if big else struct.unpack_from(f"{order}I", data, 4)
        return cls(data, order, first[0], big)

    def directory(self, offset: int) -> tuple[Tags, int]:
        """The readable tags of the directory at this offset, and the offset of the next directory or 0."""
        letter, width, step = ("Q", 8, 20) if self.big else ("H", 2, 12)
        if not 0 < offset <= len(self.data) - width:
            return {}, 0
        (count,) = struct.unpack_from(self.order + letter, self.data, offset)
        begin, tags = offset + width, Tags()
        for at in range(begin, begin + min(count, _MOST_TAGS) * step, step):
            if at + step > len(self.data):
                return tags, 0
            tag, value = self._entry(at)
            if value is not None:
                tags.setdefault(tag, value)
        end, letter = begin + count * step, "Q" if self.big else "I"
        if count > _MOST_TAGS or end + struct.calcsize(f"={letter}") > len(self.data):
            return tags, 0
        return tags, struct.unpack_from(self.order + letter, self.data, end)[0]

    def directories(self, below: bool = True) -> Iterator[Tags]:
        """All directories of the chain, each followed by its subdirectories if `below`; 64 at most."""
        seen: set[int] = set()
        waiting = [self.first]
        while waiting and len(seen) < _MOST_DIRECTORIES:
            offset = waiting.pop()
            if offset in seen or not offset:
                continue
            seen.add(offset)
            tags, following = self.directory(offset)
            yield tags
            offsets = tags.get(SUB_IFDS, ())[:_MOST_DIRECTORIES] if below else ()
            waiting += [following, *(int(value) for value in reversed(offsets))]

    def _entry(self, at: int) -> tuple[int, Value | None]:
        layout, inline = ("HHQ", 8) if self.big else ("HHI", 4)
        tag, kind, count = struct.unpack_from(self.order + layout, self.data, at)
        letters = "B" if kind in _BYTES else _LETTERS.get(kind)
        if letters is None or (count > _MOST_NUMBERS and kind not in _BYTES):
            return tag, None
        size = struct.calcsize(f"={letters}") * count
        place = at + struct.calcsize(f"={layout}")
        if size > inline:
            (place,) = struct.unpack_from(self.order + ("Q" if self.big else "I"), self.data, place)
        if place + size > len(self.data):
            return tag, None
        if kind in _BYTES:
            return tag, self.data[place : place + size]
        numbers = struct.unpack_from(f"{self.order}{letters * count}", self.data, place)
        if len(letters) == 2:
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            return tag, tuple(above / below if below else math.nan for above, below in pairs)
        return tag, numbers


def number(tags: Tags, tag: int, default: float) -> float:
    """The first number of a tag, of whatever type; the default if the tag is missing or broken."""
    value = tags.get(tag)
    return value[0] if value and math.isfinite(value[0]) else default


def exif_structure(exif: bytes) -> Structure | None:
    """The TIFF structure in a block of EXIF, which some programs begin with `Exif` and zeros."""
    found = re.search(rb"II\*\0|MM\0\*", exif[:32])
    return Structure.of(exif[found.start() :]) if found else None


def orientation_of(tags: Tags, xmp: bytes = b"") -> int:
    """The orientation, 1 to 8, from EXIF or else from XMP; 1 where neither has one."""
    value = number(tags, ORIENTATION, 0)
    if not 1 <= value <= 8:
        found = re.search(rb'tiff:Orientation(?:="|>)([1-8])', xmp)
        value = int(found[1]) if found else 1
    return int(value)


def dpi_of(tags: Tags) -> tuple[float, float] | None:
    """The resolution in pixels per inch, if the tags give one."""
    across = number(tags, X_RESOLUTION, 0)
    unit = number(tags, RESOLUTION_UNIT, 2)
    factor = {2: 1.0, 3: 2.54}.get(int(unit))
    if factor is None:
        return None
    return usable_dpi(across * factor, number(tags, Y_RESOLUTION, across) * factor)


def usable_dpi(across: float, down: float) -> tuple[float, float] | None:
    """The resolution, or None if it is none that a printer could have."""
    return (across, down) if all(1 <= value <= 100_000 for value in (across, down)) else None


def notes_of_exif(exif: bytes, xmp: bytes = b"") -> Notes:
    """Orientation and resolution that EXIF and XMP give."""
    structure = exif_structure(exif)
    tags = structure.directory(structure.first)[0] if structure else {}
    return Notes(orientation_of(tags, xmp), dpi_of(tags), None, structure.data if structure else b"")


def says_adobe_rgb(exif: bytes) -> bool:
    """Whether EXIF says that the colours are those of Adobe RGB (DCF 2.0: interoperability index R03)."""
    structure = exif_structure(exif)
    if structure is None:
        return False
    tags = structure.directory(structure.first)[0]
    exposure = structure.directory(int(number(tags, EXIF_IFD, 0)))[0]
    if number(exposure, _COLOR_SPACE, 0) == _ADOBE_RGB:
        return True
    interoperability = structure.directory(int(number(exposure, INTEROPERABILITY_IFD, 0)))[0]
    index = interoperability.get(_INTEROPERABILITY_INDEX, b"")
    return isinstance(index, bytes) and index.startswith(b"R03")
