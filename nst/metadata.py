"""EXIF (CIPA DC-008) that goes from a content to its result."""

import contextlib
from collections.abc import Iterable, MutableMapping

from PIL import Image

from nst.decoding.tags import EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD, ORIENTATION

DESCRIPTION = 0x010E
_HEAD = b"Exif\0\0"
_LONGEST = 2048  # bytes of a value
_MOST = 48_000  # bytes; a JPEG has room for 64 KiB, with the notes of the program
_COLOR_SPACE, _SRGB = 0xA001, 1
_PIXELS = (0xA002, 0xA003)
_USER_COMMENT = 0x9286  # it begins with eight bytes that name its encoding
_BLANK = " \0"
_MAKER_NOTE = 0x927C  # has offsets, which would no longer be right
# Of a TIFF file: where and how its pixels are stored, other metadata, and directories of other pictures.
_STORED = {*range(254, 267), *range(273, 285), 292, 293, 296, 301, 302, *range(317, 348), *range(512, 533)}
_OTHER = {700, 33723, 34377, 34675, 37724}
_NOT_KEPT = {ORIENTATION, EXIF_IFD, GPS_IFD, *_STORED, *_OTHER}


def kept_exif(exif: bytes) -> bytes:
    """The EXIF of a content as its result may have it: a TIFF structure, or nothing.

    It lacks the orientation, the resolution and the thumbnail, what only says how the pixels are stored, the
    maker note, values that are broken, and values of more than 2048 bytes. Its colour space is sRGB.
    """
    source, kept, found = Image.Exif(), Image.Exif(), False
    with contextlib.suppress(Exception):  # a broken structure has nothing that could be kept
        source.load(_HEAD + exif)
        _copy(source.items(), kept, _NOT_KEPT)
        for number, fixed in ((EXIF_IFD, {_COLOR_SPACE: _SRGB}), (GPS_IFD, {})):
            tags, left_out = dict[int, object](), {INTEROPERABILITY_IFD, _MAKER_NOTE, *_PIXELS}
            _copy(source.get_ifd(number).items(), tags, left_out)
            if tags:  # an empty directory is not allowed
                found = True
                kept.get_ifd(number).update(tags | fixed)
    data = kept.tobytes().removeprefix(_HEAD) if kept or found else b""
    return data if len(data) <= _MOST else b""


def with_tags(exif: bytes, tags: dict[int, object]) -> Image.Exif:
    """EXIF with these tags in addition, or in place of those that it has, for a picture that is upright.

    A description that it has is kept. The one in `tags` then becomes its comment, unless it has one.
    """
    result, given = Image.Exif(), dict(tags)
    if exif:
        result.load(_HEAD + exif)
        result.pop(ORIENTATION, None)
        # Pillow writes a directory that was read.
        directories = [result.get_ifd(number) for number in (EXIF_IFD, GPS_IFD) if number in result]
        for tags_of in (result, *directories):
            for tag, value in list(tags_of.items()):
                tags_of[tag] = _as_stored(value)
        if str(result.get(DESCRIPTION, "")).strip(_BLANK) and DESCRIPTION in given:
            comment = str(given.pop(DESCRIPTION)).encode("ascii", "replace")
            exposure = result.get_ifd(EXIF_IFD)
            earlier = exposure.get(_USER_COMMENT, b"")  # files have any type of value here
            if isinstance(earlier, bytes) and not earlier[8:].strip(_BLANK.encode()):
                exposure[_USER_COMMENT] = b"ASCII\0\0\0" + comment
    for tag, value in given.items():
        result[tag] = value
    return result


def _copy(tags: Iterable[tuple[int, object]], to: MutableMapping[int, object], left_out: set[int]) -> None:
    for tag, value in tags:
        if tag not in left_out and _can_be_written(tag, value):
            to[tag] = _as_stored(value)


class _Latin1(str):
    """A text that is written as Latin-1, in which Pillow has read it: so its bytes stay what they were."""

    def encode(self, encoding: str = "", errors: str = "") -> bytes:
        return super().encode("latin-1")


def _as_stored(value: object) -> object:
    return _Latin1(value) if isinstance(value, str) else value


def _can_be_written(tag: int, value: object) -> bool:
    alone = Image.Exif()
    with contextlib.suppress(Exception):  # Pillow raises errors of many types
        alone[tag] = value
        return len(alone.tobytes()) <= _LONGEST
    return False
