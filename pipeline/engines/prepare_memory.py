"""How much memory it takes to prepare a pair, found from the headers of its images.

`Preparer` reserves this much, and decodes no image in a larger size than is assumed here.
"""

import math

from nst import images
from nst.masks import regions_bytes
from nst.pair import result_side
from nst.parameters import Parameters
from pipeline.engines.files import Files
from pipeline.manifest.models import Pair

THUMBNAIL = 256  # pixels, the maximum of a thumbnail's long side
# Bytes for each pixel of a content that is enlarged: Pillow keeps 4, all smaller scales take a third of that,
# and the filter takes a copy.
_ENLARGED = 10
_RGB = 4  # bytes that Pillow keeps for a pixel; one for a pixel of a mask


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
    side, parameters = style_side(pair.parameters), pair.parameters
    content = images.header(files[pair.content].data, parameters.max_size, most_pixels)
    peaks, kept = [_regions_bytes(pair, content.stored)], 0
    styles = [entry.image for entry in pair.styles]
    for name in set(styles):
        style = images.header(files[name].data, side, most_pixels)
        peaks.append(style.memory)
        # A style is shrunk to this side. Each entry may have its own copy, in the colours of the content.
        copies = styles.count(name) if parameters.preserve_color else 0
        kept += _RGB * min(math.prod(style.decoded), side**2) * (1 + copies)
    for name in pair.images[1 + len(styles) :]:
        mask = images.header(files[name].data, mask_side(parameters), most_pixels)
        peaks.append(mask.memory)
        kept += math.prod(mask.decoded)
    # Images are decoded one after the other, and then regions are made. All decoded images stay in memory.
    return content.memory + _enlarging_bytes(pair.parameters, content.stored) + kept + max(peaks)


def _regions_bytes(pair: Pair, content: tuple[int, int]) -> int:
    """Bytes of memory that it takes to make the regions of a pair, if it has some."""
    regions = {entry.region for entry in pair.styles}
    if not all(content) or (regions == {None} and pair.keep is None):
        return 0
    return regions_bytes(images.scaled(content, result_side(content, pair.parameters)), len(regions))


def _enlarging_bytes(parameters: Parameters, content: tuple[int, int]) -> int:
    """Bytes of memory that it takes to enlarge a content, if it is enlarged."""
    if not all(content) or result_side(content, parameters) <= max(content):
        return 0
    return _ENLARGED * math.prod(images.scaled(content, parameters.max_size))
