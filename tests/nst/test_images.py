import struct
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, ImageCms, features

from nst import ImageError, images
from tests.conftest import make_picture
from tests.nst.files import BLUE, RED, SIZE, WHITE, distance, file_of, plain
from tests.nst.making import without_pixels

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
# The program does not turn warnings into errors, so files that cause warnings are decoded to their end.
as_in_use = pytest.mark.filterwarnings("ignore")
CONTAINERS = ["PNG", "JPEG", "WEBP", "TIFF", "GIF", pytest.param("AVIF", marks=needs_avif)]


def palette_picture() -> Image.Image:
    image = plain("P", 1)
    image.putpalette([*BLUE, *RED])
    return image


def of_array(value: float, dtype: str) -> Image.Image:
    return Image.fromarray(np.full(SIZE, value, dtype))


def red_and_blue_swapped() -> bytes:
    """The sRGB profile with the colourants of red and blue exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    (count,) = struct.unpack_from(">I", profile, 128)
    other = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}
    for at in range(132, 132 + 12 * count, 12):
        tag = bytes(profile[at : at + 4])
        profile[at : at + 4] = other.get(tag, tag)
    return bytes(profile)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_rotated_upright_by_its_exif_orientation(orientation: int) -> None:
    stored = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3) * 40).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = np.asarray(stored)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: pixels[::-1].transpose(1, 0, 2),
        7: pixels[::-1, ::-1].transpose(1, 0, 2),
        8: pixels[:, ::-1].transpose(1, 0, 2),
    }[orientation]
    found = images.decode(file_of(stored, "PNG", exif=exif)).rgb
    assert np.array_equal(np.asarray(found), upright)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_broken_exif_is_ignored(form: str) -> None:
    data = file_of(make_picture(), form, exif=b"garbage, not EXIF")
    assert images.decode(data).rgb.size == make_picture().size


@pytest.mark.parametrize(
    "image", [plain("RGB", RED), palette_picture(), plain("RGBA", (*RED, 255))], ids=lambda i: i.mode
)
def test_colours_are_converted_from_the_profile_to_srgb(image: Image.Image) -> None:
    found = images.decode(file_of(image, "PNG", icc_profile=red_and_blue_swapped()))
    assert distance(found.rgb, plain("RGB", BLUE)) <= 2


def test_a_profile_is_applied_before_the_picture_is_composed_on_white() -> None:
    data = file_of(plain("RGBA", (*RED, 128)), "PNG", icc_profile=red_and_blue_swapped())
    found = images.decode(data)
    assert distance(found.rgb, plain("RGB", (127, 127, 255))) <= 2
    assert found.alpha is not None


@pytest.mark.parametrize(
    ("mode", "profile"),
    [("RGB", b"nonsense"), ("RGB", red_and_blue_swapped()[:200]), ("L", red_and_blue_swapped())],
    ids=["nonsense", "truncated", "of RGB in a grey picture"],
)
def test_a_profile_that_does_not_match_the_picture_is_ignored(mode: str, profile: bytes) -> None:
    image = make_picture().convert(mode)
    found = images.decode(file_of(image, "PNG", icc_profile=profile)).rgb
    assert distance(found, image.convert("RGB")) == 0


@pytest.mark.parametrize(
    ("image", "form", "level"),
    [
        (plain("L", 99), "PNG", 99),
        (plain("1", 1), "PNG", 255),
        (plain("1", 0), "TIFF", 0),
        (of_array(40000, "uint16"), "PNG", 156),
        (of_array(40000, "uint16"), "TIFF", 156),
        (of_array(40000, ">u2"), "TIFF", 156),
        (of_array(40000, "int32"), "TIFF", 156),
        (of_array(0.5, "float32"), "TIFF", 128),
        (of_array(128.0, "float32"), "TIFF", 128),
        (of_array(-3.0, "float32"), "TIFF", 0),
    ],
    ids=["L", "1", "1 tiff", "16 bits", "16 tiff", "big-endian", "I", "F to 1", "F to 255", "F below 0"],
)
def test_grey_of_any_depth_is_converted_to_8_bits(image: Image.Image, form: str, level: int) -> None:
    found = images.decode(file_of(image, form))
    assert np.asarray(found.rgb).tolist() == np.full((*SIZE, 3), level).tolist()
    assert found.alpha is None


def test_white_has_the_level_4095_in_a_tiff_of_12_bits() -> None:
    entries = {256: 2, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: 3}
    packed = (4095 << 12 | 2048).to_bytes(3, "big")  # two pixels: white and grey
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    head = struct.pack("<2sHI3sxH", b"II", 42, 12, packed, len(entries))
    found = images.decode(head + table + bytes(4)).rgb
    assert [found.getpixel((x, 0)) for x in range(2)] == [(255,) * 3, (128,) * 3]


@pytest.mark.parametrize("odd", [np.nan, np.inf, 1.02])
def test_one_outlier_does_not_change_the_other_pixels_of_a_float_picture(odd: float) -> None:
    values = np.full(SIZE, 0.5, np.float32)
    values[3, 3] = odd
    assert images.decode(file_of(Image.fromarray(values), "TIFF")).rgb.getpixel((0, 0)) == (128, 128, 128)


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk_is_converted_to_rgb(form: str) -> None:
    found = images.decode(file_of(plain("CMYK", (0, 255, 255, 0)), form))
    assert distance(found.rgb, plain("RGB", RED)) <= 2


@pytest.mark.parametrize(
    ("image", "options", "rgb", "alpha"),
    [
        (plain("RGBA", (0, 0, 0, 51)), {}, (204, 204, 204), 51),
        (plain("LA", (0, 51)), {}, (204, 204, 204), 51),
        (palette_picture(), {"transparency": 1}, WHITE, 0),
        (palette_picture(), {"transparency": b"\xff\x33"}, (255, 204, 204), 51),
        (plain("RGB", RED), {"transparency": RED}, WHITE, 0),
        (plain("L", 7), {"transparency": 7}, WHITE, 0),
    ],
    ids=["RGBA", "LA", "palette", "palette with shades", "RGB key", "grey key"],
)
def test_transparency_is_kept_and_composed_on_white(
    image: Image.Image, options: dict[str, Any], rgb: tuple[int, ...], alpha: int
) -> None:
    found = images.decode(file_of(image, "PNG", **options))
    assert found.rgb.mode == "RGB"
    assert found.rgb.getpixel((5, 5)) == rgb
    assert found.alpha is not None
    assert found.alpha.getpixel((5, 5)) == alpha


def test_an_opaque_alpha_channel_is_dropped() -> None:
    assert images.decode(file_of(plain("RGBA", (*RED, 255)), "PNG")).alpha is None


@pytest.mark.parametrize(
    ("form", "options", "most"),
    [
        ("PNG", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 24),
        ("JPEG", {"quality": 95, "subsampling": 0}, 12),
        pytest.param("AVIF", {"quality": 95, "subsampling": "4:4:4"}, 24, marks=needs_avif),
    ],
)
def test_common_formats_are_read(form: str, options: dict[str, Any], most: float) -> None:
    assert distance(images.decode(file_of(make_picture(), form, **options)).rgb, make_picture()) <= most


def test_the_error_says_that_a_file_is_empty() -> None:
    with pytest.raises(ImageError, match=r"^the file is empty$"):
        images.decode(b"")


@pytest.mark.parametrize("data", [b"\0", b"hello, world", b"<svg/>", b"%PDF-1.7\n", without_pixels(0, 0)])
def test_a_file_that_is_not_an_image_is_rejected(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^not an image in a format that can be read"):
        images.decode(data)


def test_an_eps_file_is_not_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """EPS is PostScript, which Pillow runs in Ghostscript."""
    ran: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args, **options: ran.append(args))
    with pytest.raises(ImageError):
        images.decode(file_of(plain("RGB", RED), "EPS"))
    assert not ran


@pytest.mark.parametrize("form", CONTAINERS)
@as_in_use
def test_a_file_truncated_at_any_length_is_rejected(form: str) -> None:
    data = file_of(make_picture(), form)
    # The last bytes of some formats are only an end marker; without them, the picture is complete.
    for length in [*range(1, 60), *range(60, len(data) - 40, len(data) // 40)]:
        with pytest.raises(ImageError) as caught:
            images.decode(data[:length])
        assert str(caught.value).isprintable()
        assert " at 0x" not in str(caught.value)


def test_a_huge_picture_is_rejected_by_its_header() -> None:
    with pytest.raises(ImageError, match=r"^too large to decode") as caught:
        images.decode(without_pixels(30000, 30000))
    assert "DOS" not in str(caught.value)  # Pillow's message about an attack is not shown to the user


@pytest.mark.parametrize(
    ("image", "copies"), [(plain("RGB", RED), 4), (plain("RGBA", (*RED, 9)), 5), (of_array(9, "uint16"), 6)]
)
def test_the_memory_for_decoding_is_known_from_the_header(image: Image.Image, copies: int) -> None:
    data = file_of(image, "PNG")
    assert images.header(data).memory == SIZE[0] * SIZE[1] * 4 * copies
    assert images.header(without_pixels(9000, 7000)).memory == 9000 * 7000 * 4 * 4
    assert images.header(b"text").memory == images.header(without_pixels(30000, 30000)).memory == 0
