"""Writes TIFF 6.0: RGB of 8 bits, compressed by deflate, with EXIF.

Pillow's own writer fails for a compressed picture that has directories of EXIF.
"""

import zlib

import numpy as np
from PIL import Image

from nst.metadata import with_tags

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_OFFSETS, _SAMPLES, _ROWS, _COUNTS, _PLANAR, _PREDICTOR, _PROFILE = 273, 277, 278, 279, 284, 317, 34675
_DEFLATE, _RGB, _CHUNKY, _HORIZONTAL = 8, 2, 1, 2
_STRIP = 2**18  # bytes of a strip before compression, unless one row has more


def tiff(image: Image.Image, exif: bytes, tags: dict[int, object], profile: bytes) -> bytes:
    """Encode an RGB image with this EXIF (a TIFF structure, or nothing), these tags and this ICC profile."""
    rows = max(1, _STRIP // (3 * image.width))
    strips = [_strip(image, top, rows) for top in range(0, image.height, rows)]
    sizes = [len(strip) for strip in strips]
    layout: dict[int, object] = {
        _WIDTH: image.width,
        _HEIGHT: image.height,
        _BITS: (8, 8, 8),
        _COMPRESSION: _DEFLATE,
        _PHOTOMETRIC: _RGB,
        # From the end of the directories; Pillow adds their length.
        _OFFSETS: tuple(int(end) - size for end, size in zip(np.cumsum(sizes), sizes, strict=True)),
        _SAMPLES: 3,
        _ROWS: rows,
        _COUNTS: tuple(sizes),
        _PLANAR: _CHUNKY,
        _PREDICTOR: _HORIZONTAL,
        _PROFILE: profile,
    }
    directories = with_tags(exif, tags | layout)
    directories.endian = "<"  # some programs find no size in a file of the other byte order
    return b"".join([directories.tobytes().removeprefix(b"Exif\0\0"), *strips])


def _strip(image: Image.Image, top: int, rows: int) -> bytes:
    """Some rows from `top` on: each sample minus the one to its left (TIFF 6.0, section 14), compressed."""
    pixels = np.asarray(image.crop((0, top, image.width, min(image.height, top + rows))))
    left = np.zeros_like(pixels)
    left[:, 1:] = pixels[:, :-1]
    return zlib.compress((pixels - left).tobytes())
