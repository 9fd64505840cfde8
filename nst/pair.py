"""The input of one transfer: a content picture at every scale, its weighted styles, its parameters.

Departure from Gatys et al.: a pair may have several styles; the target is the weighted mean of their Gram
matrices.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nst import color, images
from nst.errors import ImageError, NSTError
from nst.images import Picture
from nst.masks import Regions, fitted
from nst.parameters import Parameters

_SMALLEST_SIDE = 16  # after four poolings, one pixel of it is left at relu5_1
_SMALLEST_SHARE = 1e-30  # of a style in the sum of all weights: a smaller one may be 0 in fp32
_COARSEST = 96  # the long side of the coarsest scale is this at least, and less than twice this


@dataclass(frozen=True)
class Style:
    """A style picture in RGB, which can be resized to any scale.

    Two masks (mode L, of any size, see `nst.masks.mask_of`) may restrict it: `region` lies over the content
    and says where the style applies, `image_region` lies over the style and says which part of it is meant.
    Raises `ImageError` if one of the style's sides is shorter than 16 px.
    """

    image: Image.Image
    region: Image.Image | None = None
    image_region: Image.Image | None = None

    def __post_init__(self) -> None:
        _check_size(self.image, "the style")

    @cached_property
    def digest(self) -> bytes:
        """A hash of size and pixels, and of those of `image_region`."""
        pictures = [self.image] if self.image_region is None else [self.image, self.image_region]
        return hashlib.blake2b(b"".join(p.tobytes() + repr(p.size).encode() for p in pictures)).digest()

    def at(self, long_side: int) -> Tensor:
        """The picture as `(3, H, W)` in 0..1 with this long side in pixels, shrunk or enlarged."""
        return images.to_tensor(images.resize(self.image, self.size_at(long_side)))

    def within(self, long_side: int) -> "Style":
        """This style, shrunk to this long side in pixels if it is larger."""
        if max(self.image.size) <= long_side:
            return self
        return replace(self, image=images.resize(self.image, self.size_at(long_side)))

    def part_at(self, long_side: int) -> Tensor | None:
        """`image_region` in the size of `at`, `(1, H, W)` in 0..1; none if all of the style is meant."""
        if self.image_region is None:
            return None
        size = self.size_at(long_side)
        part = images.to_tensor(fitted(self.image_region, size))
        if part.any():
            return part
        # The part is so small that the filter has removed it: all pixels are meant that contain some of it.
        return F.adaptive_max_pool2d(images.to_tensor(self.image_region), size[::-1])

    def size_at(self, long_side: int) -> tuple[int, int]:
        """Width and height in pixels of the picture with this long side; each is 16 at least."""
        width, height = images.scaled(self.image.size, long_side)
        return max(width, _SMALLEST_SIDE), max(height, _SMALLEST_SIDE)


@dataclass(frozen=True)
class PreparedPair:
    """One content picture with its styles, ready for a device; made by `PreparedPair.prepare`."""

    contents: tuple[Image.Image, ...]  # coarse to fine; the last has the size of the result
    starts: Tensor  # (K, 3, H, W) in 0..1: the coarsest scale starts from the one with the lowest loss
    alpha: Image.Image | None  # the content's alpha channel, in the size of the result
    styles: tuple[tuple[Style, float], ...]
    parameters: Parameters
    regions: Regions | None = None  # none if each style applies everywhere, and nothing is kept
    colors: Image.Image | None = None  # see `Picture`; none if the content was scaled

    @classmethod
    def prepare(
        cls,
        content: Picture,
        styles: Sequence[tuple[Style, float]],
        parameters: Parameters,
        keep: Image.Image | None = None,
    ) -> "PreparedPair":
        """Resize the pictures for every scale. This uses the CPU only, so it can run while a GPU works.

        `keep` is a mask over the content (mode L, of any size): the content stays as it is where it is white.
        Raises `ImageError` if a side of the content is shorter than 16 px, before or after it is resized, or
        if a region is empty in the size of the result. Raises `NSTError` if there is no style, if a weight is
        not positive and finite, or if one is less than 1e-30 of the sum of all.
        """
        if not styles or not all(0 < weight < math.inf for _, weight in styles):
            raise NSTError("a pair needs one style or several, each of a weight above 0")
        # Only their ratios count; far from 1, products with them would be 0 or infinite in fp32.
        heaviest = max(weight for _, weight in styles)
        styles = [(style, weight / heaviest) for style, weight in styles]
        weights = [weight for _, weight in styles]
        if min(weights) < _SMALLEST_SHARE * sum(weights):
            raise NSTError(
                "the weights of a pair's styles differ too much; leave out the style that weighs least"
            )
        rgb, alpha = content.rgb, content.alpha
        _check_size(rgb, "the content")
        longest = result_side(rgb.size, parameters)
        sizes = [images.scaled(rgb.size, side) for side in _scales(longest)]
        contents = [images.resize(rgb, size) for size in sizes if min(size) >= _SMALLEST_SIDE]
        if not contents or contents[-1].size != sizes[-1]:
            raise ImageError(
                f"the content scaled to max_size {longest} is {sizes[-1][0]}x{sizes[-1][1]}; "
                f"each side needs {_SMALLEST_SIDE} pixels"
            )
        largest = largest_style_side(rgb.size, parameters)
        styles = [(style.within(largest), weight) for style, weight in styles]
        if parameters.preserve_color:
            styles = [(_with_colors(style, rgb), weight) for style, weight in styles]
        alpha = alpha and images.resize(alpha, sizes[-1])
        masks = [style.region for style, _ in styles]
        regions = Regions.of(masks, weights, keep, [picture.size for picture in contents])
        starts = _starts(contents[0], styles, regions, parameters)
        colors = content.colors if sizes[-1] == rgb.size else None
        return cls(tuple(contents), starts, alpha, tuple(styles), parameters, regions, colors)

    @property
    def styles_by_region(self) -> list[list[tuple[Style, float]]]:
        """The styles of each region with their weights; all of them together if there are no regions."""
        if self.regions is None:
            return [list(self.styles)]
        return [[self.styles[index] for index in each] for each in self.regions.members]

    def style_side(self, level: int) -> int:
        """The long side of the styles at scale `level`, an index into `contents`, in pixels."""
        return round(max(self.contents[level].size) * self.parameters.style_scale)

    @property
    def region_count(self) -> int:
        """The number of regions; 0 if each style applies everywhere and nothing is kept."""
        return len(self.regions.members) if self.regions else 0

    @property
    def group(self) -> tuple[object, ...]:
        """A value that is equal for pairs that can share a batch."""
        p = self.parameters
        layers = (tuple(p.content_layers.items()), tuple(p.style_layers.items()))
        return tuple(c.size for c in self.contents), p.epochs, p.init, p.pooling, *layers, self.region_count


def result_side(content: tuple[int, int], parameters: Parameters) -> int:
    """The long side of the result in pixels; `content` is a width and height."""
    return parameters.max_size if parameters.enlarge else min(parameters.max_size, max(content))


def largest_style_side(content: tuple[int, int], parameters: Parameters) -> int:
    """The long side of the styles at the finest scale, in pixels; `content` is a width and height."""
    return max(_SMALLEST_SIDE, round(result_side(content, parameters) * parameters.style_scale))


def _scales(longest: int) -> list[int]:
    """The long side of each scale in pixels, coarse to fine; each is half of the next one."""
    sides = [longest]
    while sides[0] // 2 >= _COARSEST:
        sides.insert(0, sides[0] // 2)
    return sides


def _with_colors(style: Style, content: Image.Image) -> Style:
    """The style in the colours of the content, or of the region that it applies to."""
    matched = color.match_colors(style.image, content, style.image_region, style.region)
    return replace(style, image=matched)


def _starts(
    content: Image.Image,
    styles: Sequence[tuple[Style, float]],
    regions: Regions | None,
    parameters: Parameters,
) -> Tensor:
    plain = images.to_tensor(content)
    if parameters.init == "random":
        # Noise from the CPU's generator is the same for every device.
        generator = torch.Generator().manual_seed(parameters.seed)
        return (0.5 + 0.1 * torch.randn(plain.shape, generator=generator)).clamp(0, 1)[None]
    # The content in the style's colours saves a tenth of the evaluations, unless the style has a small
    # weight.
    if regions is None:
        return torch.stack([plain, _colored(content, styles)])
    colored = plain.clone()
    for members, guide in zip(regions.members, regions.guides[0], strict=True):
        chosen = [styles[index] for index in members]
        colored += guide.float() / 255 * (_colored(content, chosen) - plain)
    return torch.stack([plain, colored.clamp(0, 1)])


def _colored(content: Image.Image, styles: Sequence[tuple[Style, float]]) -> Tensor:
    """The content in the colours of the styles, `(3, H, W)` in 0..1."""
    total = sum(weight for _, weight in styles)
    colored = torch.zeros(3, content.height, content.width)
    for style, weight in styles:
        small = images.resize(style.image, images.scaled(style.image.size, max(content.size)))
        matched = color.match_colors(content, small, style.region, style.image_region)
        # The share first: a small weight times a pixel would be 0 in fp32.
        colored += images.to_tensor(matched) * (weight / total)
    return colored


def _check_size(image: Image.Image, name: str) -> None:
    if min(image.size) < _SMALLEST_SIDE:
        width, height = image.size
        raise ImageError(f"{name} is {width}x{height}; each side needs {_SMALLEST_SIDE} pixels")
