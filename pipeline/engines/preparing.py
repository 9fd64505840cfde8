"""How much memory it takes to prepare a pair, found from the headers of its images.

`Preparer` reserves this much, and decodes no image in a larger size than is assumed here.
"""

from collections.abc import Mapping

from nst import images
from nst.pair import result_side
from nst.parameters import Parameters
from pipeline.manifest.models import Pair

THUMBNAIL = 256  # pixels, the maximum of a thumbnail's long side
# Bytes for each pixel of a content that is enlarged: Pillow keeps 4, all smaller scales take a third of that,
# and the filter takes a copy.
_ENLARGED = 10

Files = Mapping[str, tuple[bytes, str | None]]
"""The bytes of each image of a pair and its state, by its reference."""


def style_side(parameters: Parameters) -> int:
    """The longest side in pixels that a style can be needed in."""
    return max(THUMBNAIL, round(parameters.max_size * parameters.style_scale))


def mask_side(parameters: Parameters) -> int:
    """The longest side in pixels that a mask can be needed in: it lies over the result or over a style."""
    return max(parameters.max_size, style_side(parameters))


def preparing_bytes(pair: Pair, files: Files, most_pixels: int) -> int:
    """Bytes of memory that it takes at most to prepare a pair of these files.

    Images that cannot be decoded, or that have more than `most_pixels` pixels, count as 0.
    """
    parameters, styles = pair.parameters, {entry.image for entry in pair.styles}

    def decoding(name: str, side: int) -> int:
        return images.decoding_bytes(files[name][0], side, most_pixels)

    masks = set(pair.images[1 + len(pair.styles) :])
    others = [decoding(name, style_side(parameters)) for name in styles]
    others += [decoding(name, mask_side(parameters)) for name in masks]
    # The content stays in memory while the styles and masks are decoded, one after the other.
    content = decoding(pair.content, parameters.max_size) + _enlarging_bytes(
        files[pair.content][0], parameters
    )
    return content + max(others)


def _enlarging_bytes(content: bytes, parameters: Parameters) -> int:
    """Bytes of memory that it takes to enlarge a content, of which this is the file."""
    size = images.stored_size(content)
    if size is None or result_side(size, parameters) <= max(size):
        return 0
    width, height = images.scaled(size, parameters.max_size)
    return _ENLARGED * width * height
