"""Decodes an image that somebody uploads, to see whether it can be used at all."""

import io

from PIL import Image

from nst import images
from pipeline.engines.prepare import DECODING

_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif"}


def suffix_of_image(data: bytes) -> str:
    """Decode an image within the budget of this process; the usual suffix of its format.

    Raises `ImageError` where it cannot be decoded.
    """
    with DECODING.taken(images.decoding_bytes(data)):
        images.decode(data)
    with Image.open(io.BytesIO(data)) as image:
        form = image.format or ""
    return _SUFFIXES.get(form, f".{form.lower()}" if form.isalnum() else "")
