"""Pixels that are all there are read, whatever else is broken; pixels that are missing are an error."""

import struct
import zlib

import numpy as np
import pytest

from nst import ImageError, images
from tests.conftest import make_picture
from tests.nst.files import distance, file_of
from tests.nst.making import jpeg_with, png, png_chunks, png_of, with_chunk

PICTURE = make_picture(64, 48)
PNG, JPEG = file_of(PICTURE, "PNG"), file_of(PICTURE, "JPEG", quality=90)
PROGRESSIVE = file_of(PICTURE, "JPEG", quality=90, progressive=True)
CHUNKS = png_chunks(PNG)
MEGABYTE = zlib.compress(bytes(1_200_000))
WHOLE = {
    "PNG": PNG,
    "JPEG": JPEG,
    "progressive": PROGRESSIVE,
    "WEBP": file_of(PICTURE, "WEBP", lossless=True),
}
WHOLE |= {"GIF": file_of(PICTURE, "GIF"), "TIFF": file_of(PICTURE, "TIFF"), "BMP": file_of(PICTURE, "BMP")}
# Steps and first pixels of the passes of an interlaced PNG, across and down.
PASSES = [(8, 0, 8, 0), (8, 4, 8, 0), (4, 0, 8, 4), (4, 2, 4, 0), (2, 0, 4, 2), (2, 1, 2, 0), (1, 0, 2, 1)]


def scans(data: bytes) -> list[int]:
    """The offsets of the scans of a JPEG."""
    return [at for at in range(len(data)) if data[at : at + 2] == b"\xff\xda"]


READABLE = {
    "a text of 1.2 MB": with_chunk(PNG, b"zTXt", b"Comment\0\0" + MEGABYTE),
    "a profile of 1.2 MB": with_chunk(PNG, b"iCCP", b"icc\0\0" + MEGABYTE),
    "a wrong checksum in a text": with_chunk(PNG, b"tEXt", b"a\0b", wrong=b"tEXt"),
    "a wrong checksum in the header": png(*CHUNKS, wrong=b"IHDR"),
    "a wrong checksum at the end": png(*CHUNKS, wrong=b"IEND"),
    "a broken profile": with_chunk(PNG, b"iCCP", b"icc\0\0garbage"),
    "a PNG without its end": png(*CHUNKS[:-1]),
    "a PNG that is cut in the last checksum": PNG[:-18],
    "a JPEG without its end": JPEG[:-2],
    "a progressive JPEG without its end": PROGRESSIVE[:-2],
    "padding before the end of a JPEG": JPEG[:-2] + bytes(500) + JPEG[-2:],
    "bytes before a marker of a JPEG": JPEG[:2] + b"abc" + JPEG[2:],
    "a strange segment in a JPEG": jpeg_with(JPEG, (0xE2, b"ICC_PROFILE\0"), (0xE1, b"Exif\0"), (0xFE, b"")),
}


@pytest.mark.parametrize("data", READABLE.values(), ids=list(READABLE))
def test_a_file_with_all_of_its_pixels_is_read(data: bytes) -> None:
    assert distance(images.decode(data).rgb, PICTURE) <= 60
    expected = PNG if data.startswith(b"\x89PNG") else PROGRESSIVE if b"\xff\xc2" in data else JPEG
    assert distance(images.decode(data).rgb, images.decode(expected).rgb) == 0


@pytest.mark.parametrize("before", [b"\n", b"\xef\xbb\xbf", b"HTTP/1.1 200 OK\r\n\r\n", bytes(128)])
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_bytes_before_and_after_a_picture_are_skipped(form: str, before: bytes) -> None:
    found = images.decode(before + WHOLE[form] + b"\0\0\0\x18ftypmp42" + bytes(100)).rgb
    assert distance(found, images.decode(WHOLE[form]).rgb) == 0


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("form", WHOLE)
def test_a_file_that_is_cut_off_is_incomplete(form: str, share: float) -> None:
    data = WHOLE[form]
    with pytest.raises(ImageError, match="incomplete"):
        images.decode(data[: round(len(data) * share)])


def test_a_png_with_half_of_its_rows_is_incomplete() -> None:
    rows = zlib.decompress(b"".join(content for kind, content in CHUNKS if kind == b"IDAT"))
    half = (b"IDAT", zlib.compress(rows[: len(rows) // 2]))
    for end in ([CHUNKS[-1]], []):
        with pytest.raises(ImageError, match="incomplete"):
            images.decode(png(CHUNKS[0], half, *end))


def test_a_png_whose_pixels_have_a_wrong_checksum_is_damaged() -> None:
    packed = bytearray(zlib.compress(bytes(64 * 3 + 1) * 48))
    packed[-1] ^= 1
    with pytest.raises(ImageError, match="incomplete or damaged"):
        images.decode(png(CHUNKS[0], (b"IDAT", bytes(packed)), CHUNKS[-1]))


@pytest.mark.parametrize("scan", [1, 2, 5, -1])
def test_a_progressive_jpeg_without_some_scans_is_incomplete(scan: int) -> None:
    cut = PROGRESSIVE[: scans(PROGRESSIVE)[scan]]
    with pytest.raises(ImageError, match="incomplete"):
        images.decode(cut)


@pytest.mark.parametrize("damage", ["zeros", "noise", "gap"])
def test_a_jpeg_that_is_damaged_in_the_middle_is_incomplete(damage: str) -> None:
    data = file_of(make_picture(640, 480), "JPEG", quality=90)
    middle, size = len(data) // 2, 600
    noise = np.random.default_rng(0).integers(0, 255, size, np.uint8).tobytes()
    part = {"zeros": bytes(size), "noise": noise, "gap": b""}[damage]
    with pytest.raises(ImageError, match="incomplete"):
        images.decode(data[:middle] + part + data[middle + size :])


def test_the_rest_of_damaged_pixels_before_the_end_of_a_jpeg_is_not_padding() -> None:
    with pytest.raises(ImageError, match="incomplete"):
        images.decode(JPEG[:-2] + bytes([0x55] * 100) + JPEG[-2:])


def test_an_interlaced_png_that_is_cut_behind_its_pixels_is_read() -> None:
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    rows = b""
    for across, left, down, top in PASSES:
        part = pixels[top::down, left::across]
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    header = struct.pack(">IIBBBBB", 7, 5, 8, 2, 0, 0, 1)
    data = png((b"IHDR", header), (b"IDAT", zlib.compress(rows)))
    assert np.array_equal(np.asarray(images.decode(data).rgb), pixels)
    with pytest.raises(ImageError, match="incomplete"):
        images.decode(png((b"IHDR", header), (b"IDAT", zlib.compress(rows[:-9]))))


def test_a_picture_in_another_kind_of_file_is_not_read() -> None:
    for start in (b"%PDF-1.7\n", b"ID3\3\0", b"PK\3\4"):
        with pytest.raises(ImageError, match="not an image"):
            images.decode(start + JPEG)


def test_only_the_beginning_is_searched_for_a_picture() -> None:
    with pytest.raises(ImageError, match="not an image"):
        images.decode(b"x" * 5000 + JPEG)


def test_a_png_of_16_bits_that_is_whole_is_read() -> None:
    assert images.decode(png_of(np.full((20, 20, 3), 40000, np.uint16), 2)).rgb.getpixel((0, 0)) == (156,) * 3
