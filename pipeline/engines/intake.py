"""Decodes an image that somebody uploads, to see whether it can be used at all."""

import io

from PIL import Image, UnidentifiedImageError

from nst import images
from pipeline.engines.prepare import DECODING

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif"}
_LONG_SIDE = 512  # All of the file is read to shrink a picture to this, in less memory.


def suffix_of_image(data: bytes, most_pixels: int) -> str:
    """Decode an image of at most `most_pixels` pixels; the usual suffix of its format.

    It shares the memory for decoding with the pairs of this process. Raises `ImageError` for an image that
    cannot be decoded.
    """
    with DECODING.taken(images.decoding_bytes(data, _LONG_SIDE, most_pixels)):
        images.decode(data, _LONG_SIDE, most_pixels)
    try:
        with Image.open(io.BytesIO(data)) as image:
            form = image.format or ""
    except UnidentifiedImageError:
        return ""  # of a format that is read without Pillow, such as HEIC
    return _SUFFIXES.get(form, f".{form.lower()}" if form.isalnum() else "")
