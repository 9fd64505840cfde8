"""A picture is turned upright, whatever is wrong with the rest of its EXIF."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst import images
from tests.conftest import make_picture
from tests.nst.files import distance, file_of
from tests.nst.making import (
    BYTE,
    LONG,
    RATIONAL,
    SHORT,
    SIGNED,
    directory,
    jpeg_with,
    tiff,
    tiff_of,
    with_chunk,
)

TO_LAB = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
TURNED = {0x0112: (SHORT, [6])}
UNIT_OF_WRONG_TYPE = tiff({**TURNED, 0x011A: (RATIONAL, [72, 1]), 0x0128: (BYTE, [2])})
NEGATIVE_POINTER = tiff({**TURNED, 0x8769: (SIGNED, [-5])}, order=">")
ENDLESS_POINTER = tiff({**TURNED, 0x8769: (LONG, [8]), 0x8825: (LONG, [2**32 - 1])})
CUT = tiff({**TURNED, 0x0131: (BYTE, [65] * 50)})[:30]
MORE_ENTRIES_THAN_THERE_ARE = tiff(TURNED)[:8] + struct.pack("<H", 999) + directory(TURNED, 8)[2:]
UNKNOWN_TYPE = tiff({0x010F: (BYTE, [1]), **TURNED}).replace(b"\x0f\x01\x01\0", b"\x0f\x01\x63\0")
AS_LONG = tiff({0x0112: (LONG, [6])})
BROKEN = {
    "a unit of the wrong type": UNIT_OF_WRONG_TYPE,
    "a negative pointer": NEGATIVE_POINTER,
    "pointers to itself and beyond the end": ENDLESS_POINTER,
    "cut off": CUT,
    "fewer entries than announced": MORE_ENTRIES_THAN_THERE_ARE,
    "a tag of an unknown type": UNKNOWN_TYPE,
    "of a wider type": AS_LONG,
}
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def with_exif(form: str, exif: bytes) -> bytes:
    """A file of a picture of 48x40 pixels with these bytes as its EXIF, which are not checked."""
    image = make_picture(48, 40)
    if form == "PNG":
        return with_chunk(file_of(image, "PNG"), b"eXIf", exif)
    if form in ("JPEG", "MPO"):
        options = {"save_all": True, "append_images": [image]} if form == "MPO" else {}
        return jpeg_with(file_of(image, form, **options), (0xE1, b"Exif\0\0" + exif))
    if form == "WEBP":
        return file_of(image, "WEBP", exif=b"Exif\0\0" + exif)
    box = b"JpgTiffExif->JP2" + exif
    return file_of(image, "JPEG2000") + struct.pack(">I4s", len(box) + 8, b"uuid") + box


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "MPO", "JPEG2000"])
@pytest.mark.parametrize("exif", BROKEN.values(), ids=list(BROKEN))
def test_a_picture_is_turned_although_its_exif_is_broken(form: str, exif: bytes) -> None:
    assert images.decode(with_exif(form, exif)).rgb.size == (40, 48)


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_is_turned_although_other_tags_are_broken(order: str) -> None:
    pixels = np.zeros((40, 48, 3), np.uint8)
    more = {**TURNED, 0x0128: (BYTE, [2]), 0x8769: (SIGNED, [-5])}
    assert images.decode(tiff_of(pixels, 2, order, more=more)).rgb.size == (40, 48)


def test_the_orientation_of_xmp_and_of_a_text_is_read() -> None:
    data = file_of(make_picture(48, 40), "JPEG")
    xmp = jpeg_with(data, (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP))
    exif = UNIT_OF_WRONG_TYPE.hex().encode()
    text = b"Raw profile type exif\0\nexif\n" + str(len(exif) // 2).encode() + b"\n" + exif
    png = with_chunk(file_of(make_picture(48, 40), "PNG"), b"tEXt", text)
    assert images.decode(xmp).rgb.size == images.decode(png).rgb.size == (40, 48)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(value: int) -> None:
    data = with_exif("JPEG", tiff({0x0112: (SHORT, [value])}))
    assert images.decode(data).rgb.size == (48, 40)


def test_a_picture_of_pillow_is_turned_too() -> None:
    with Image.open(io.BytesIO(with_exif("JPEG", UNIT_OF_WRONG_TYPE))) as image:
        assert images.normalise(image).rgb.size == (40, 48)


@pytest.mark.parametrize("mode", ["RGB", "YCbCr", "LAB"])  # the last two are read by Pillow, which turns them
@pytest.mark.parametrize(
    ("orientation", "turn"), [(3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_270)]
)
def test_a_tiff_is_turned_once(mode: str, orientation: int, turn: Image.Transpose) -> None:
    picture = make_picture(48, 40)
    stored = ImageCms.applyTransform(picture, TO_LAB) if mode == "LAB" else picture.convert(mode)
    assert stored
    data = file_of(stored, "TIFF", tiffinfo={0x0112: orientation}, dpi=(300, 150))
    upright = images.decode(file_of(stored, "TIFF")).rgb.transpose(turn)
    for found in (images.decode(data), images.normalise(Image.open(io.BytesIO(data)))):
        assert found.rgb.size == upright.size
        assert distance(found.rgb, upright) < 3
        assert found.dpi == ((150, 300) if orientation == 6 else (300, 150))
