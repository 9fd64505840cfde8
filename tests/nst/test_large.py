"""Huge pictures are shrunk while they are decoded; what is too large is refused by its header."""

import builtins
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nst import ImageError, images
from tests.conftest import make_picture
from tests.nst.files import distance, file_of
from tests.nst.making import png_of, without_pixels


@pytest.fixture(scope="module")
def huge() -> bytes:
    """A JPEG of 81 million pixels."""
    return file_of(Image.linear_gradient("L").resize((9000, 9000)), "JPEG", quality=50)


def test_a_huge_jpeg_is_shrunk_to_no_less_than_twice_the_size_that_is_needed(huge: bytes) -> None:
    found = images.decode(huge, 600).rgb
    assert found.size == (2250, 2250)
    gradient = Image.linear_gradient("L").resize((2250, 2250)).convert("RGB")
    assert distance(found.resize((250, 250)), gradient.resize((250, 250))) <= 6
    assert images.decode(huge, 4000).rgb.size == (9000, 9000)


def test_the_memory_and_the_size_of_a_huge_jpeg_are_those_of_the_shrunk_picture(huge: bytes) -> None:
    assert images.header(huge, 600).memory == 2250 * 2250 * 16
    assert images.header(huge).memory == 9000 * 9000 * 16
    found = [images.header(huge, side) for side in (600, 4000, None)]
    assert [header.decoded for header in found] == [(2250, 2250), (9000, 9000), (9000, 9000)]
    assert {header.stored for header in found} == {(9000, 9000)}


def test_a_huge_png_is_shrunk_too() -> None:
    data = png_of(np.full((8200, 8200, 1), 77, np.uint8), 0)
    found = images.decode(data, 100).rgb
    assert (found.size, found.getpixel((0, 0))) == ((1025, 1025), (77, 77, 77))


def test_an_ordinary_picture_is_never_shrunk() -> None:
    data = file_of(make_picture(2000, 20), "JPEG")
    assert images.decode(data, 16).rgb.size == (2000, 20)


def test_the_limit_of_pixels_is_a_setting() -> None:
    data = file_of(make_picture(100, 100), "PNG")
    assert images.decode(data, most_pixels=10_000).rgb.size == (100, 100)
    with pytest.raises(ImageError, match=r"too large to decode: 100x100; at most 9,999 pixels are"):
        images.decode(data, most_pixels=9_999)
    with pytest.raises(ImageError, match="too large to decode"):
        images.decode(without_pixels(60_000, 60_000))


def test_threads_decode_at_the_same_time_and_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    broken = file_of(make_picture(), "PNG")[:-400]
    files = [
        file_of(make_picture(300, 200, seed), form) for seed in range(4) for form in ("PNG", "JPEG", "TIFF")
    ]
    alone = [images.decode(data).rgb.tobytes() for data in files]
    wrong: list[int] = []

    def work(turn: int) -> None:
        for n in range(len(files)):
            at = (n + turn) % len(files)
            if images.decode(files[at]).rgb.tobytes() != alone[at]:
                wrong.append(at)
            with pytest.raises(ImageError, match="incomplete"):
                images.decode(broken)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert not wrong
    assert capfd.readouterr() == ("", "")


def test_heic_is_read() -> None:
    if "HEIF" not in Image.SAVE:
        pytest.skip("needs pillow-heif")
    assert (
        distance(images.decode(file_of(make_picture(64, 64), "HEIF", quality=95)).rgb, make_picture(64, 64))
        <= 40
    )


def test_without_its_package_heic_is_refused_with_the_name_of_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    importing = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "pillow_heif":
            raise ImportError(name)
        return importing(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImageError, match=r"pip install '.\[heic\]' in a checkout"):
        images.decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99))
