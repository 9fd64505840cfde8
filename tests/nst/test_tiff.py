"""Results as TIFF files, as other programs read them."""

import io

import pytest
import pyvips
from PIL import Image

from nst import images
from nst.images import Picture
from tests.conftest import make_picture
from tests.nst.files import distance

COMPRESSION, PREDICTOR, STRIPS, X_RESOLUTION, UNIT = 259, 317, 273, 282, 296
DEFLATE, HORIZONTAL, INCH = 8, 2, 2


def saved(picture: Picture) -> bytes:
    return images.encode(picture, "tiff", "nst 1.0", {"id": "a"})


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (700, 500)])
def test_pillow_and_libvips_read_the_same_pixels(size: tuple[int, int]) -> None:
    image = make_picture(60, 40).resize(size)
    data = saved(Picture(image))
    with Image.open(io.BytesIO(data), formats=["TIFF"]) as found:
        assert (found.mode, found.size) == ("RGB", size)
        assert distance(found, image) == 0
    assert pyvips.Image.tiffload_buffer(data).write_to_memory() == image.tobytes()


def test_the_pixels_are_compressed_in_strips_by_deflate_with_a_predictor() -> None:
    image = make_picture(60, 40).resize((700, 500))
    data = saved(Picture(image))
    with Image.open(io.BytesIO(data)) as found:
        tags = dict(found.getexif())
    assert (tags[COMPRESSION], tags[PREDICTOR], len(tags[STRIPS])) == (DEFLATE, HORIZONTAL, 5)
    assert len(data) < 700 * 500 * 3 / 2


def test_a_resolution_with_a_fraction_is_kept() -> None:
    with Image.open(io.BytesIO(saved(Picture(make_picture(), dpi=(72.5, 72.5))))) as found:
        assert (found.getexif()[X_RESOLUTION], found.getexif()[UNIT]) == (72.5, INCH)


@pytest.mark.parametrize("order", ["<", ">"])
def test_exif_of_either_byte_order_is_kept(order: str) -> None:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2020:01:02 03:04:05"
    data = saved(Picture(make_picture(), exif=exif.tobytes().removeprefix(b"Exif\0\0")))
    assert data.startswith(b"II*\0")
    with Image.open(io.BytesIO(data)) as found:
        assert found.getexif()[0x010F] == "Maker"
        assert found.getexif().get_ifd(0x8769)[0x9003] == "2020:01:02 03:04:05"
        assert distance(found, make_picture()) == 0


@pytest.mark.parametrize("compression", ["raw", "zstd"])
def test_a_preview_before_the_full_picture_is_passed_over_in_any_compression(compression: str) -> None:
    file, full = io.BytesIO(), make_picture(60, 48)
    reduced = {"save_all": True, "append_images": [full], "tiffinfo": {254: 1}}
    make_picture(20, 16, seed=5).save(file, "TIFF", compression=compression, **reduced)
    first, entry, rest = file.getvalue().rpartition(b"\xfe\0\4\0\1\0\0\0\1\0\0\0")  # of the second picture
    found = images.decode(first + entry[:8] + bytes(4) + rest).rgb
    assert found.size == full.size
    assert distance(found, full) == 0
