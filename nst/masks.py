"""Masks: grey pictures that say where a style applies, which part of a style is meant, and what is kept.

White is all, black is nothing, and grey is in between. `Regions` has the masks of one pair at each of its
scales.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image, ImageChops
from torch import Tensor

from nst.errors import ImageError
from nst.images import Picture

_NOISE = 4  # levels from black and from white that count as black and white; JPEG changes levels so much
_REACH = 16  # pixels beyond its region in which a style fades out; strokes may cross the border so far
_WORK = 22  # bytes for each pixel of a picture while its regions are made: resident memory, measured
_SAME_ASPECT = 1.02  # the most by which the aspect ratios of a mask and its picture may differ unnoticed

Array = npt.NDArray[np.float32]


def mask_of(picture: Picture) -> Image.Image:
    """The picture as a mask, mode L: its luminance, with transparent parts as black.

    Levels of at most 4 become 0, and those of at least 251 become 255. Raises `ImageError` if all are 0.
    """
    grey = picture.rgb.convert("L")
    if picture.alpha is not None:  # `rgb` is on white
        grey = ImageChops.subtract(grey, ImageChops.invert(picture.alpha))
    mask = grey.point([0 if v <= _NOISE else 255 if v >= 255 - _NOISE else v for v in range(256)])
    if not mask.getbbox():
        raise ImageError("this mask is empty: all of it is black; paint white what is meant")
    return mask


def is_white(mask: Image.Image) -> bool:
    """Whether all of the mask is white."""
    return mask.getextrema() == (255, 255)


def has_other_aspect(mask: tuple[int, int], picture: tuple[int, int]) -> bool:
    """Whether a mask's aspect ratio differs from its picture's by more than 2 %; both are width, height."""
    ratio = mask[0] * picture[1] / (mask[1] * picture[0])
    return not 1 / _SAME_ASPECT <= ratio <= _SAME_ASPECT


def fitted(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The mask in another `(width, height)`. A bilinear filter adds no levels beyond black and white."""
    return mask if mask.size == size else mask.resize(size, Image.Resampling.BILINEAR)


def regions_bytes(size: tuple[int, int], count: int) -> int:
    """Bytes of memory that `Regions.of` takes at most for so many regions; `size` is that of the result.

    The scales below the largest one add a third to the guides and to the mask of what is kept.
    """
    return size[0] * size[1] * (4 * (count + 1) + 3 * _WORK) // 3


@dataclass(frozen=True)
class Regions:
    """The regions of one pair, and what is kept of its content, at each of its scales.

    `members` has the indices of the styles of each region, and `strengths` the factor on its style error: the
    mean weight of its styles, divided by the mean over all regions. `guides` has for each scale how much each
    position of the picture belongs to each region: `(R, H, W)`, uint8; the sum over regions is 255 at most,
    apart from rounding. `keeps` has for each scale the mask, mode L, of where the content stays as it is:
    what is to be kept, and what is more than 16 pixels away from all regions.
    """

    members: tuple[tuple[int, ...], ...]
    strengths: tuple[float, ...]
    guides: tuple[Tensor, ...]
    keeps: tuple[Image.Image, ...]

    @classmethod
    def of(
        cls,
        masks: Sequence[Image.Image | None],
        weights: Sequence[float],
        keep: Image.Image | None,
        sizes: Sequence[tuple[int, int]],
    ) -> "Regions | None":
        """The regions of styles with these masks and weights, at scales of these sizes; none without masks.

        Styles of equal masks have one region. A style without a mask applies everywhere. Where the masks of
        several regions have a sum above white, they share the position. What is kept belongs to no region.
        Raises `ImageError` if nothing of a region is left at the last scale.
        """
        if keep is None and not any(masks):
            return None
        found: dict[object, list[int]] = {}
        for index, mask in enumerate(masks):
            found.setdefault(mask and (mask.size, hashlib.blake2b(mask.tobytes()).digest()), []).append(index)
        members = tuple(map(tuple, found.values()))
        means = [sum(weights[index] / len(each) for index in each) for each in members]
        strengths = tuple(mean * len(means) / sum(means) for mean in means)
        chosen = [masks[each[0]] for each in members]
        guides = tuple(_guides(chosen, keep, size) for size in sizes)
        for each, guide in zip(members, guides[-1], strict=True):
            if not guide.any():
                raise ImageError(_nothing_left(each[0] if masks[each[0]] else None, keep, sizes[-1]))
        return cls(members, strengths, guides, tuple(_kept(guide, keep) for guide in guides))

    @property
    def finest(self) -> "Regions":
        """These regions at the last scale only."""
        return replace(self, guides=self.guides[-1:], keeps=self.keeps[-1:])


def _nothing_left(style: int | None, keep: Image.Image | None, size: tuple[int, int]) -> str:
    """Why nothing is left of the region of a style; none stands for a style without a mask."""
    if style is None:
        return "nothing of the picture is left outside of what is kept; enlarge the black part of 'keep'"
    where, remedy = f"in a picture of {size[0]}x{size[1]}", "enlarge the white part of its mask"
    if keep:
        where, remedy = "outside of what is kept", f"{remedy}, or the black part of 'keep'"
    return f"nothing of the region of style {style + 1} is left {where}; {remedy}"


def _guides(masks: Sequence[Image.Image | None], keep: Image.Image | None, size: tuple[int, int]) -> Tensor:
    """The guides of all regions at one scale, `(R, H, W)`, uint8."""
    # One region after the other: there may be many, and a picture may have 268 million pixels.
    guides = np.full((len(masks), size[1], size[0]), 255, np.uint8)
    total = np.zeros(size[::-1], np.float32)
    for guide, mask in zip(guides, masks, strict=True):
        if mask is not None:
            guide[:] = np.asarray(fitted(mask, size))
        total += _in_0_to_1(guide)
    np.maximum(total, 1, out=total)
    free = 1 - _levels(keep, size) if keep else None
    for guide in guides:
        shared = _in_0_to_1(guide)
        shared /= total
        if free is not None:
            shared *= free
        shared *= 255
        guide[:] = shared.round(out=shared)
    return torch.from_numpy(guides)


def _kept(guides: Tensor, keep: Image.Image | None) -> Image.Image:
    """Where the content stays at one scale: what is kept, and what no style reaches."""
    near = (guides.amax(0) > 0).float()[None]
    # The largest value of 17 pixels, then the mean of 17: 1 in the regions, 0 from 16 pixels on.
    for across in ((1, _REACH + 1), (_REACH + 1, 1)):
        padding = (across[0] // 2, across[1] // 2)
        near = F.max_pool2d(near, across, stride=1, padding=padding)
    near = F.avg_pool2d(near, _REACH + 1, stride=1, padding=_REACH // 2, count_include_pad=False)[0]
    size = (near.shape[1], near.shape[0])
    kept = np.maximum(1 - near.numpy(), _levels(keep, size) if keep else 0)
    return Image.fromarray((255 * kept).round().astype(np.uint8))


def _levels(mask: Image.Image, size: tuple[int, int]) -> Array:
    """The mask in this size, `(H, W)` in 0..1."""
    return _in_0_to_1(np.asarray(fitted(mask, size)))


def _in_0_to_1(levels: npt.NDArray[np.uint8]) -> Array:
    scaled = levels.astype(np.float32)
    scaled /= 255
    return scaled
