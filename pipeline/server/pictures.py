"""The formats of pictures, as media types and as ends of file names."""

from collections.abc import Mapping

from nst.parameters import Format

MEDIA_TYPES: Mapping[Format, str] = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "tiff": "image/tiff",
}
SUFFIXES: Mapping[str, str] = {f".{form}": kind for form, kind in MEDIA_TYPES.items()}  # suffix: media type
