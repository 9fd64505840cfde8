"""Samples of any depth and meaning keep their tones."""

import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst import images
from nst.decoding.profiles import gamma_profile
from tests.nst.files import file_of
from tests.nst.making import SHORT, png_of, tiff_of

WHITE_IS_ZERO, GREY, RGB, CMYK, ICC_LAB, CIELAB = 0, 1, 2, 5, 9, 8
BOTH = pytest.mark.parametrize("order", ["<", ">"])


def constant(value: float, kind: str, bands: int = 0) -> "np.ndarray[Any, Any]":
    return np.full((20, 24, bands) if bands else (20, 24), value, kind)


def corner(data: bytes) -> tuple[int, int, int]:
    """The colour of a pixel near the corner."""
    red, green, blue = np.asarray(images.decode(data).rgb)[3, 3].tolist()
    return red, green, blue


def level(data: bytes) -> int:
    """The level of a picture that is grey."""
    red, green, blue = corner(data)
    assert red == green == blue
    return red


@BOTH
@pytest.mark.parametrize("bands", [0, 3])
@pytest.mark.parametrize(
    ("value", "kind", "sample", "expected"),
    [
        (100, "u1", 1, 100),
        (40000, "u2", 1, 156),
        (2**30, "u4", 1, 64),
        (2**32 - 1, "u4", 1, 255),
        (20000, "i2", 2, 156),
        (-10000, "i2", 2, 89),
        (-32768, "i2", 2, 0),
        (64, "i1", 2, 129),
        (40000, "i4", 2, 156),
        (2**30, "i4", 2, 128),
        (0.5, "f4", 3, 128),
        (128, "f4", 3, 128),
        (32768, "f4", 3, 128),
        (0.5, "f2", 3, 128),
    ],
)
def test_samples_of_a_tiff_keep_their_level(
    value: float, kind: str, sample: int, expected: int, bands: int, order: str
) -> None:
    photometric = RGB if bands else GREY
    assert level(tiff_of(constant(value, kind, bands), photometric, order, sample)) == expected


@BOTH
@pytest.mark.parametrize(
    ("value", "kind", "sample", "expected"),
    [
        (100, "u1", 1, 155),
        (15420, "u2", 1, 195),
        (2**30, "u4", 1, 191),
        (0.25, "f4", 3, 191),
        (20000, "i2", 2, 99),
    ],
)
def test_where_zero_is_white_the_picture_is_not_a_negative(
    value: float, kind: str, sample: int, expected: int, order: str
) -> None:
    assert level(tiff_of(constant(value, kind), WHITE_IS_ZERO, order, sample)) == expected


def linear_profile(space: str = "GRAY") -> bytes:
    """A profile of a gamma of 1."""
    return gamma_profile(1.0, None, space == "GRAY") or b""


@pytest.mark.parametrize("bands", [0, 3])
def test_dark_tones_of_16_bits_keep_their_steps_although_a_profile_is_applied(bands: int) -> None:
    ramp = np.tile(np.linspace(0, 0.05 * 65535, 64).astype(np.uint16), (20, 1))
    pixels = np.repeat(ramp[:, :, None], 3, 2) if bands else ramp
    profile = linear_profile("RGB" if bands else "GRAY")
    more = {34675: (7, list(profile))}
    data = tiff_of(pixels, RGB if bands else GREY, more=more)
    found = np.asarray(images.decode(data).rgb)[10, :, 1]
    assert len(set(found.tolist())) >= 50
    light = ramp[10] / 65535
    exact = 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(found - exact).max() <= 1


@pytest.mark.parametrize("kind", [0, 4])
def test_grey_with_and_without_transparency_has_the_tones_of_its_profile(kind: int) -> None:
    pixels = constant(60, "u1", 2 if kind else 1)
    if kind:
        pixels[:, :, 1] = 255
        pixels[0, 0, 1] = 0
    data = png_of(pixels, kind, (b"iCCP", b"a\0\0" + zlib.compress(linear_profile())))
    assert abs(level(data) - 133) <= 1


@pytest.mark.parametrize("key", [True, False])
def test_a_transparent_level_of_16_bits_is_transparent_and_no_other_one(key: bool) -> None:
    grey, rgb = constant(40000, "u2", 1), constant(40000, "u2", 3)
    grey[5:], rgb[5:] = 40001, 40001
    for pixels, kind, color in ((grey, 0, 1), (rgb, 2, 3)):
        level_of_key = (40000 if key else 39999).to_bytes(2, "big") * color
        found = images.decode(png_of(pixels, kind, (b"tRNS", level_of_key)))
        assert (found.alpha is not None) == key
        if found.alpha:
            assert found.alpha.getpixel((0, 0)) == 0
            assert found.alpha.getpixel((0, 9)) == 255


@BOTH
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_colours_in_cielab_are_converted(kind: str, order: str) -> None:
    """L 53.2, a 80.1, b 67.2 are red (relative to D65); relative to D50, as here, 54.3, 80.8 and 69.9."""
    pixels = constant(0, kind, 3)
    if kind == "u1":
        pixels[:] = (138, 209, 198)
    else:
        pixels[:] = (round(54.3 * 652.8), round((80.8 + 128) * 256), round((69.9 + 128) * 256))
    red, green, blue = corner(tiff_of(pixels, ICC_LAB, order))
    assert red >= 248
    assert green <= 12
    assert blue <= 12


def test_signed_cielab_is_converted() -> None:
    pixels = constant(0, "u1", 3)
    pixels[:] = (138, 81, 70)
    red, green, blue = corner(tiff_of(pixels, CIELAB))
    assert red >= 248
    assert green <= 12
    assert blue <= 12
    deep = constant(0, "u2", 3)
    deep[:] = (round(54.3 * 655.35), round(80.8 * 256), round(69.9 * 256))
    red, green, blue = corner(tiff_of(deep, CIELAB))
    assert red >= 248
    assert green <= 12
    assert blue <= 12


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_a_fourth_band_is_transparency_only_if_the_file_says_so(extra: int) -> None:
    pixels = constant(30000, "u2", 4)
    data = tiff_of(pixels, RGB, more={338: (SHORT, [extra])})
    assert (images.decode(data).alpha is None) == (extra == 0)


def test_cmyk_of_16_bits_is_read() -> None:
    pixels = constant(0, "u2", 4)
    pixels[:, :, 1:3] = 65535
    assert images.decode(tiff_of(pixels, CMYK)).rgb.getpixel((0, 0)) == (255, 0, 0)


def test_a_profile_that_is_that_of_srgb_changes_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    found = images.decode(file_of(image, "PNG", icc_profile=srgb)).rgb
    assert np.array_equal(np.asarray(found), np.asarray(image))
