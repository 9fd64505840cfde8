"""libvips, set up for files that nobody has checked: single-threaded, without caches, silent."""

from collections.abc import Iterator
from typing import Any

import pyvips

# One decode is one thread's work; the pipeline decodes several pictures at the same time.
pyvips.concurrency_set(1)
pyvips.cache_set_max(0)
pyvips.block_untrusted_set(True)  # loaders that libvips itself does not trust with such files

_STRIP = 2**18  # bytes, which fit into the cache of a core
_PROFILE = "icc-profile-data"


def lazy(loader: str, data: bytes, fail_on: str = "warning", **options: Any) -> pyvips.Image:
    """The picture in these bytes, decoded when its pixels are needed. Raises `pyvips.Error`.

    `fail_on` says what is an error, then and now: any `warning` of the decoder, or only that the file is
    `truncated`.
    """
    load = getattr(pyvips.Image, f"{loader}load_buffer")
    image: pyvips.Image = load(data, access="sequential", fail_on=fail_on, **options)
    return image


def of_pixels(pixels: Any, width: int, height: int, bands: int, kind: str) -> pyvips.Image:
    """A picture of these pixels, a buffer that is read row by row; `kind` is the name of libvips' format."""
    return pyvips.Image.new_from_memory(pixels, width, height, bands, kind)


def unpremultiplied(image: pyvips.Image) -> pyvips.Image:
    """The picture with its usual colours, which had been multiplied by their transparency."""
    return image.unpremultiply(max_alpha=255 if image.format == "uchar" else 65535).rint().cast(image.format)


def shrunk(image: pyvips.Image, factor: int) -> pyvips.Image:
    """The picture, smaller by this factor in both directions."""
    return image.shrink(factor, factor) if factor > 1 else image


def strips(image: pyvips.Image) -> Iterator[tuple[int, int, Any]]:
    """Compute a picture from the top, in this thread: first row, rows, pixels. Raises `pyvips.Error`."""
    region, width, height = pyvips.Region.new(image), image.width, image.height
    step = max(1, _STRIP // (width * image.bands) // 16) * 16
    for top in range(0, height, step):
        rows = min(step, height - top)
        yield top, rows, region.fetch(0, top, width, rows)


def profile_of(image: pyvips.Image) -> bytes | None:
    """The ICC profile that libvips found in a file."""
    return bytes(image.get(_PROFILE)) if image.get_typeof(_PROFILE) else None


def with_profile(image: pyvips.Image, profile: bytes, interpretation: str) -> pyvips.Image:
    """The picture with this ICC profile and this meaning of its bands."""
    named = image.copy(interpretation=interpretation)
    named.set_type(pyvips.GValue.blob_type, _PROFILE, profile)
    return named
