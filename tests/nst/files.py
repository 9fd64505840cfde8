"""Single-coloured pictures, their files, and a distance between pictures, for tests."""

import io
from typing import Any

from PIL import Image

from nst import images

RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)
SIZE = (20, 20)


def file_of(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a file in one of Pillow's formats."""
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def plain(mode: str, color: Any, size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture of one colour."""
    return Image.new(mode, size, color)


def distance(one: Image.Image, other: Image.Image) -> float:
    """The largest difference in any channel of any pixel, in 8-bit levels."""
    return (images.to_tensor(one) - images.to_tensor(other)).abs().max().item() * 255
