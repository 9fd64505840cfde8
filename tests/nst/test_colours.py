"""Colours are converted to sRGB, however a file describes them."""

import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from nst import ImageError, images
from nst.decoding.profiles import coded_profile, profile_of_exif
from tests.nst.files import file_of, plain
from tests.nst.making import LONG, SHORT, TEXT, directory, jpeg_with, png_of, tiff, with_chunk

COLOR = (60, 180, 90)
P3, BT709, BT2020, SRGB, LINEAR, GAMMA_22, PQ, HLG = 12, 1, 9, 13, 8, 4, 16, 18
needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")


def adobe_exif(index: bytes = b"R03\0", space: int = 65535) -> bytes:
    """EXIF with a colour space and an interoperability index."""
    head = tiff({0x8769: (LONG, [26])})  # one entry, so that the next directory is at 26
    exposure = {0xA001: (SHORT, [space]), 0xA005: (LONG, [56])}
    return head + directory(exposure, 26) + directory({1: (TEXT, list(index))}, 56)


def first(data: bytes) -> tuple[int, ...]:
    found = images.decode(data).rgb.getpixel((2, 2))
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], expected: tuple[int, ...], most: int = 2) -> bool:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= most


def png_with(kind: bytes, content: bytes) -> bytes:
    return with_chunk(file_of(plain("RGB", COLOR), "PNG"), kind, content)


def with_coded_colours(data: bytes, primaries: int, transfer: int) -> bytes:
    """An AVIF or HEIC file with other numbers in its `nclx` box."""
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


def of_profile(profile: bytes | None) -> tuple[int, ...]:
    """What the profile makes of the colour."""
    return first(file_of(plain("RGB", COLOR), "PNG", icc_profile=profile))


@pytest.mark.parametrize(
    ("exif", "is_adobe"),
    [
        (adobe_exif(), True),
        (adobe_exif(b"R98\0", 1), False),
        (adobe_exif(b"R98\0", 2), True),
        (adobe_exif(b"R98\0"), False),
    ],
)
def test_adobe_rgb_is_known_by_exif(exif: bytes, is_adobe: bool) -> None:
    plainly = file_of(plain("RGB", COLOR), "JPEG", quality=100, subsampling=0)
    data = jpeg_with(plainly, (0xE1, b"Exif\0\0" + exif))
    expected = of_profile(profile_of_exif(adobe_exif())) if is_adobe else COLOR
    assert near(first(data), expected)
    assert near(of_profile(profile_of_exif(adobe_exif())), (0, 181, 83))


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_other_formats_without_a_profile_are_srgb_whatever_exif_says(form: str) -> None:
    options = {"lossless": True} if form == "WEBP" else {}
    data = file_of(plain("RGB", COLOR), form, exif=b"Exif\0\0" + adobe_exif(), **options)
    assert first(data) == COLOR


@pytest.mark.parametrize(
    ("chunk", "content", "expected"),
    [
        (b"gAMA", struct.pack(">I", 100_000), (133, 219, 160)),
        (b"gAMA", struct.pack(">I", 45_455), COLOR),
        (b"gAMA", struct.pack(">I", 0), COLOR),
        (b"cICP", bytes([P3, SRGB, 0, 1]), (0, 185, 77)),
        (b"cICP", bytes([BT709, SRGB, 0, 1]), COLOR),
        (b"cICP", bytes([BT709, LINEAR, 0, 1]), (133, 219, 160)),
        (b"sRGB", b"\0", COLOR),
    ],
)
def test_the_chunks_of_a_png_describe_its_colours(
    chunk: bytes, content: bytes, expected: tuple[int, ...]
) -> None:
    assert near(first(png_with(chunk, content)), expected)


def test_chromaticities_of_a_png_are_used() -> None:
    p3 = [31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000]
    assert near(first(png_with(b"cHRM", struct.pack(">8I", *p3))), (0, 185, 77))
    for broken in ([0] * 8, [100_000] * 8, [2**32 - 1] * 8):
        assert first(png_with(b"cHRM", struct.pack(">8I", *broken))) == COLOR


def test_coded_colours_of_a_png_go_before_its_profile_and_this_before_its_gamma() -> None:
    data = file_of(plain("RGB", COLOR), "PNG", icc_profile=profile_of_exif(adobe_exif()))
    gamma = (b"gAMA", struct.pack(">I", 100_000))
    assert first(with_chunk(data, *gamma)) == of_profile(profile_of_exif(adobe_exif()))
    assert near(first(with_chunk(data, b"cICP", bytes([P3, SRGB, 0, 1]))), (0, 185, 77))


def test_the_gamma_of_a_grey_png_is_used() -> None:
    pixels = np.full((20, 20, 1), 60, np.uint8)
    assert near(first(png_of(pixels, 0, (b"gAMA", struct.pack(">I", 100_000)))), (133,) * 3)


@pytest.mark.parametrize(
    ("primaries", "transfer"), [(P3, SRGB), (BT709, LINEAR), (BT709, SRGB), (BT2020, GAMMA_22)]
)
@pytest.mark.parametrize("form", [pytest.param("AVIF", marks=needs_avif), "HEIF"])
def test_coded_colours_of_avif_and_heic_are_converted(form: str, primaries: int, transfer: int) -> None:
    if form not in Image.SAVE:
        pytest.skip("needs pillow-heif")
    data = with_coded_colours(file_of(plain("RGB", COLOR, (64, 64)), form, quality=95), BT709, SRGB)
    stored = plain("RGB", first(data))
    expected = first(file_of(stored, "PNG", icc_profile=coded_profile(primaries, transfer)))
    assert near(first(with_coded_colours(data, primaries, transfer)), expected, 4)


@pytest.mark.parametrize(("transfer", "name"), [(PQ, "PQ"), (HLG, "HLG")])
@pytest.mark.parametrize("form", ["PNG", pytest.param("AVIF", marks=needs_avif), "HEIF"])
def test_hdr_is_refused_by_name(form: str, transfer: int, name: str) -> None:
    if form not in Image.SAVE:
        pytest.skip("needs pillow-heif")
    options: dict[str, Any] = {} if form == "PNG" else {"quality": 95}
    data = file_of(plain("RGB", COLOR, (64, 64)), form, **options)
    hdr = (
        with_chunk(data, b"cICP", bytes([BT2020, transfer, 0, 1]))
        if form == "PNG"
        else with_coded_colours(data, BT2020, transfer)
    )
    with pytest.raises(ImageError, match=name):
        images.decode(hdr)
    assert images.header(hdr).memory == 0
