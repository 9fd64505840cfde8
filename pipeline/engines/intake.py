"""Decodes images for the HTTP door: those that somebody uploads, and pictures to show them small."""

import io

from PIL import Image

from nst import images
from pipeline.engines.encode import thumbnail
from pipeline.engines.prepare import DECODING

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif"}
_LONG_SIDE = 512  # All of the file is read to shrink a picture to this, in less memory.


def suffix_of_image(data: bytes, most_pixels: int) -> str:
    """Decode an image of at most `most_pixels` pixels; the usual suffix of its format.

    It shares the memory for decoding with the pairs of this process. Raises `ImageError` for an image that
    cannot be decoded.
    """
    with DECODING.taken(images.header(data, _LONG_SIDE, most_pixels).memory):
        images.decode(data, _LONG_SIDE, most_pixels)
    try:
        with Image.open(io.BytesIO(data)) as image:
            form = image.format or ""
    except Exception:
        # Some formats and some damaged files are decoded here without Pillow, which does not read them.
        return ""
    return _SUFFIXES.get(form, f".{form.lower()}" if form.isalnum() else "")


def small_picture(picture: bytes) -> bytes:
    """A small JPEG of a picture, whose sides have at most 512 pixels.

    It shares the memory for decoding with the pairs of this process. Raises `ImageError`.
    """
    with DECODING.taken(images.header(picture, _LONG_SIDE).memory):
        return thumbnail(images.decode(picture, _LONG_SIDE).rgb, _LONG_SIDE)
