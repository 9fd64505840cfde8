"""How much memory it takes to prepare a pair, found from the headers of its images.

`Preparer` reserves this much, and decodes no image in a larger size than is assumed here.
"""

from collections.abc import Mapping

from nst import images
from nst.masks import regions_bytes
from nst.pair import result_side
from nst.parameters import Parameters
from pipeline.manifest.models import Pair

THUMBNAIL = 256  # pixels, the maximum of a thumbnail's long side
# Bytes for each pixel of a content that is enlarged: Pillow keeps 4, all smaller scales take a third of that,
# and the filter takes a copy.
_ENLARGED = 10
_RGB = 4  # bytes that Pillow keeps for a pixel; one for a pixel of a mask

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
    side, parameters = style_side(pair.parameters), pair.parameters
    content, _ = _decoded(files[pair.content][0], parameters.max_size, most_pixels)
    content += _enlarging_bytes(files[pair.content][0], parameters)
    peaks, kept = [_regions_bytes(pair, files)], 0
    styles = [entry.image for entry in pair.styles]
    for name in set(styles):
        peak, pixels = _decoded(files[name][0], side, most_pixels)
        peaks.append(peak)
        # A style is shrunk to this side. Each entry may have its own copy, in the colours of the content.
        copies = styles.count(name) if parameters.preserve_color else 0
        kept += _RGB * min(pixels, side**2) * (1 + copies)
    for name in pair.images[1 + len(styles) :]:
        peak, pixels = _decoded(files[name][0], mask_side(parameters), most_pixels)
        peaks.append(peak)
        kept += pixels
    # Images are decoded one after the other, and then regions are made. All decoded images stay in memory.
    return content + kept + max(peaks)


def _decoded(data: bytes, side: int, most_pixels: int) -> tuple[int, int]:
    """Bytes of memory that it takes to decode an image for this long side, and its pixels then."""
    peak = images.decoding_bytes(data, side, most_pixels)
    width, height = images.stored_size(data, side) or (0, 0)
    return peak, width * height if peak else 0


def _regions_bytes(pair: Pair, files: Files) -> int:
    """Bytes of memory that it takes to make the regions of a pair, if it has some."""
    size, regions = images.stored_size(files[pair.content][0]), {entry.region for entry in pair.styles}
    if size is None or (regions == {None} and pair.keep is None):
        return 0
    return regions_bytes(images.scaled(size, result_side(size, pair.parameters)), len(regions))


def _enlarging_bytes(content: bytes, parameters: Parameters) -> int:
    """Bytes of memory that it takes to enlarge a content, of which this is the file."""
    size = images.stored_size(content)
    if size is None or result_side(size, parameters) <= max(size):
        return 0
    width, height = images.scaled(size, parameters.max_size)
    return _ENLARGED * width * height
