"""The raw files of cameras are refused by name; other files with a preview are read at full size."""

import struct

import numpy as np
import pytest

from nst import ImageError, images
from tests.nst.making import BYTE, LONG, SHORT, TEXT, tiff, tiff_of

MOSAIC, LINEAR_RAW = 32803, 34892
PREVIEW = np.full((20, 24, 3), 200, np.uint8)
MAKE = {271: (TEXT, list(b"Some camera\0"))}
REDUCED = {254: (LONG, [1])}

RAW = {
    "NEF": tiff_of(PREVIEW, 2, more={**REDUCED, **MAKE}, below={254: (LONG, [0]), 262: (SHORT, [MOSAIC])}),
    "ARW": tiff_of(PREVIEW, 2, "<", more={**REDUCED, **MAKE}, below={256: (LONG, [6000])}),
    "DNG": tiff_of(PREVIEW, 2, more={**REDUCED, 50706: (BYTE, [1, 4, 0, 0])}),
    "linear DNG": tiff_of(PREVIEW, 2, below={262: (SHORT, [LINEAR_RAW])}),
    "PEF": tiff_of(np.zeros((20, 24), np.uint16), MOSAIC, ">", more=MAKE),
    "CR2": tiff_of(PREVIEW, 2)[:8] + b"CR\2\0" + bytes(50),
    "CR3": struct.pack(">I4s4sI4s", 24, b"ftyp", b"crx ", 1, b"crx ") + bytes(99),
    "RAF": b"FUJIFILMCCD-RAW 0201FF383501" + bytes(99),
    "RW2": b"IIU\0" + bytes(99),
    "ORF": b"IIRO" + bytes(99),
    "X3F": b"FOVb" + bytes(99),
}


@pytest.mark.parametrize("data", RAW.values(), ids=list(RAW))
def test_a_raw_file_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"a camera's raw file, which must be developed first"):
        images.decode(data)
    assert images.header(data).memory == 0


def test_a_tiff_whose_first_picture_is_a_preview_is_read_at_full_size() -> None:
    preview = tiff_of(PREVIEW, 2, more=REDUCED)
    pixels = np.full((40, 48, 3), 100, np.uint8)
    whole = tiff_of(pixels, 2)
    # Both directories in one file: the pixels and the directory of the whole picture are moved behind.
    moved = bytearray(preview)
    begin, size = len(preview) + len(preview) % 2, pixels.size
    moved = moved.ljust(begin, b"\0") + pixels.tobytes()
    entries = {256: (LONG, [48]), 257: (LONG, [40]), 258: (SHORT, [8, 8, 8]), 259: (SHORT, [1])}
    entries |= {262: (SHORT, [2]), 273: (LONG, [begin]), 277: (SHORT, [3]), 278: (LONG, [40])}
    place = len(moved)
    from tests.nst.making import directory

    moved += directory({**entries, 279: (LONG, [size])}, place)
    (table,) = struct.unpack_from("<I", preview, 4)
    (count,) = struct.unpack_from("<H", preview, table)
    struct.pack_into("<I", moved, table + 2 + 12 * count, place)
    assert len(whole) < len(moved)
    found = images.decode(bytes(moved)).rgb
    assert (found.size, found.getpixel((0, 0))) == ((48, 40), (100, 100, 100))


def test_a_tiff_of_a_camera_is_a_picture() -> None:
    assert images.decode(tiff_of(PREVIEW, 2, more=MAKE)).rgb.size == (24, 20)
    with pytest.raises(ImageError, match="incomplete"):
        images.decode(tiff({}))
