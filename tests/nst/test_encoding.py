import io
import json
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from nst import ImageError, Parameters, images
from nst.images import Picture
from nst.parameters import Format
from tests.conftest import make_picture
from tests.nst.files import RED, WHITE, distance, file_of, plain

FORMATS: tuple[Format, ...] = ("png", "jpg", "webp", "tiff")
TRANSPARENT: tuple[Format, ...] = ("png", "jpg", "webp")  # of pictures that may be transparent


def metadata_of(data: bytes, form: Format) -> tuple[str, str]:
    with Image.open(io.BytesIO(data)) as image:
        if form == "png":
            return image.info["Software"], image.info["Parameters"]
        return image.getexif()[0x0131], image.getexif()[0x010E]


@pytest.mark.parametrize("form", FORMATS)
def test_a_saved_picture_has_software_and_notes_in_its_metadata(form: Format) -> None:
    notes = {"id": "Köln ☂ \n", "parameters": {"style_weight": 1e6}}
    software, text = metadata_of(images.encode(Picture(make_picture()), form, "nst 1.0", notes), form)
    assert software == "nst 1.0"
    assert json.loads(text) == notes


@pytest.mark.parametrize(("form", "kind"), [("png", "PNG"), ("jpg", "JPEG"), ("webp", "WEBP")])
def test_alpha_is_saved_if_the_format_supports_it(form: Format, kind: str) -> None:
    alpha = plain("L", 0)
    alpha.paste(255, (0, 0, 20, 10))
    data = images.encode(Picture(plain("RGB", RED), alpha), form, "", {})
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == kind
    found = images.decode(data)
    assert distance(found.rgb.crop((0, 12, 20, 20)), plain("RGB", WHITE, (20, 8))) <= 2
    assert distance(found.rgb.crop((0, 0, 20, 8)), plain("RGB", RED, (20, 8))) <= 4
    assert (found.alpha is None) == (form == "jpg")
    if found.alpha:
        assert found.alpha.tobytes() == alpha.tobytes()


@pytest.mark.parametrize("form", TRANSPARENT)
@pytest.mark.parametrize(("level", "seen"), [(128, 127), (51, 204)])
def test_half_transparent_black_composed_on_white_is_the_same_after_saving(
    form: Format, level: int, seen: int
) -> None:
    shadow = images.decode(file_of(plain("RGBA", (0, 0, 0, level)), "PNG"))
    grey = plain("RGB", (seen, seen, seen))
    assert distance(shadow.rgb, grey) <= 1
    saved = images.decode(images.encode(shadow, form, "", {}))
    assert distance(saved.rgb, grey) <= 2


def test_white_is_removed_from_all_rows_of_a_large_transparent_picture() -> None:
    random = np.random.default_rng(0)
    rgb, alpha = (random.integers(0, 256, (700, 1000, *more), np.uint8) for more in ((3,), ()))
    opacity = alpha[:, :, None].astype(np.float32) / 255
    darkness = (255 - rgb.astype(np.float32)) / np.where(opacity > 0, opacity, 1)
    expected = (255 - darkness).round().clip(0, 255)
    data = images.encode(Picture(Image.fromarray(rgb), Image.fromarray(alpha)), "png", "", {})
    with Image.open(io.BytesIO(data)) as saved:
        found = np.asarray(saved)
    assert (found[:, :, :3] == expected).all()
    assert (found[:, :, 3] == alpha).all()


def test_white_is_removed_from_a_large_picture_in_little_memory() -> None:
    picture = Picture(plain("RGB", RED, (2048, 2048)), plain("L", 128, (2048, 2048)))
    tracemalloc.start()
    images.encode(picture, "png", "", {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * 2048**2


@pytest.mark.parametrize(("form", "least"), [("png", 0), ("webp", 1)])  # WebP drops invisible colours
def test_pixels_of_a_transparent_picture_that_do_not_change_keep_their_colours(
    form: Format, least: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (700, 1000, 4), np.uint8)
    pixels[:, :, 3] = np.random.default_rng(1).integers(least, 60, (700, 1000))
    picture = images.decode(file_of(Image.fromarray(pixels), "PNG", compress_level=1))
    picture.rgb.paste((255, 0, 0), (0, 600, 1000, 700))
    with Image.open(io.BytesIO(images.encode(picture, form, "", {}))) as saved:
        found = np.asarray(saved)
    assert (found[:600] == pixels[:600]).all()
    assert (found[600:, :, :3] == (255, 0, 0)).all(2).mean() > 0.9


def test_a_transparent_picture_is_not_saved_as_tiff() -> None:
    with pytest.raises(ImageError, match=r'it is transparent.*use "format": "png" or "webp"'):
        images.encode(Picture(plain("RGB", RED), plain("L", 254)), "tiff", "", {})


@pytest.mark.parametrize("form", TRANSPARENT)
def test_encoding_does_not_change_the_picture(form: Format) -> None:
    picture = Picture(make_picture(), plain("L", 128, (48, 40)))
    images.encode(picture, form, "", {})
    assert distance(picture.rgb, make_picture()) == 0


@pytest.mark.parametrize("form", FORMATS)
def test_as_saved_equals_the_decoded_file(form: Format) -> None:
    image = make_picture()
    read = images.decode(images.encode(Picture(image), form, "nst", {"id": "a"})).rgb
    assert distance(images.as_saved(image, form), read) == 0
    assert (distance(read, image) == 0) == (form != "jpg")


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_supports_the_largest_picture(form: Format) -> None:
    schema = Parameters.model_json_schema()["properties"]["max_size"]
    image = plain("RGB", RED, (schema["maximum"], 16))
    assert images.as_saved(image, form).size == image.size


@pytest.mark.parametrize(
    ("size", "long_side", "expected"),
    [((400, 200), 100, (100, 50)), ((200, 400), 100, (50, 100)), ((1, 4000), 100, (1, 100))],
)
def test_scaling_keeps_the_aspect_ratio(
    size: tuple[int, int], long_side: int, expected: tuple[int, int]
) -> None:
    assert images.scaled(size, long_side) == expected


def test_resizing_returns_the_requested_size_and_the_same_picture_if_it_has_that_size() -> None:
    image = make_picture()
    assert images.resize(image, (12, 10)).size == (12, 10)
    assert images.resize(image, image.size) is image


def test_tensors_are_rgb_in_0_to_1_and_convert_back() -> None:
    image = make_picture()
    tensor = images.to_tensor(image)
    assert tensor.shape == (3, image.height, image.width)
    assert tensor[0, 2, 5].item() * 255 == pytest.approx(image.getpixel((5, 2))[0])  # type: ignore[index]
    assert distance(images.to_image(tensor), image) == 0
    assert images.to_image(torch.tensor([-1.0, 0.0, 2.0]).view(3, 1, 1)).getpixel((0, 0)) == (0, 0, 255)
