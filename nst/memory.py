"""How the memory at hand is divided for a picture: tiles, and the steps that the search stores."""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch

from nst.errors import NSTError
from nst.pair import PreparedPair
from nst.tiles import STRIDES

GB = 10**9
_STEP = 24  # bytes a pixel of one step that L-BFGS stores
_STATE = 180  # bytes a pixel of what else grows with the picture, with the content's features at relu4_1
_KEPT, _GUIDE = 16, 12  # bytes a pixel of what is kept of the content, and of each region
# Bytes a pixel that is computed at once. On a CPU, this includes freed memory that is kept, see `nst.heap`.
_FEATURES = {
    "cpu": {torch.float32: 2700, torch.bfloat16: 2600},
    "cuda": {torch.float32: 2000, torch.bfloat16: 1500},
}
# Bytes a pixel of a style while its Gram matrices are computed. On a CPU these are its integers of 8 bits and
# its numbers in fp32; a GPU has only the latter. A part of a style takes more: its mask, and guides of it.
_STYLE, _PART = {"cpu": 20, "cuda": 12}, 36
_LARGE_PICTURE = 2**22  # pixels; for a larger one, fewer steps are stored, at the cost of time
_SMALLEST_TILE = 512**2  # pixels with margins; of a smaller one, the margins would be the most
# On a CPU, larger tiles take no less time: a picture of 1536 px takes as long in tiles of 800² pixels as in
# those of 600², and a half more in those of 512².
_LARGEST_TILES = {"cpu": 600**2, "cuda": 2**22}


@dataclass(frozen=True)
class Plan:
    """How a picture is computed.

    `steps` is how many steps L-BFGS stores. `tile` is the number of pixels that a tile has at most with its
    margins; without it, the picture is computed as a whole.
    """

    steps: int
    tile: int | None = None


@dataclass(frozen=True)
class Demand:
    """What decides how much memory a pair takes at one of its scales."""

    pixels: int  # of the picture
    regions: int = 0
    style_pixels: int = 0  # of its largest style
    parts: bool = False  # only a part of some style is meant
    content_layers: Collection[str] = ("relu4_1",)

    @classmethod
    def of(cls, pair: PreparedPair, level: int = -1) -> "Demand":
        """That of a pair at scale `level`, an index into its `contents`."""
        width, height = pair.contents[level].size
        side = pair.style_side(level)
        styles = [style for style, _ in pair.styles]
        return cls(
            pixels=width * height,
            regions=pair.region_count,
            style_pixels=max(math.prod(style.size_at(side)) for style in styles),
            parts=any(style.image_region is not None for style in styles),
            content_layers=tuple(pair.parameters.content_layers),
        )


def plan(
    demand: Demand, memory: int, device: torch.device, dtype: torch.dtype, given: float | None = None
) -> Plan:
    """The plan for a picture in so many bytes, with features of this type.

    Raises `NSTError` if the picture does not fit, not even in small tiles, or if one of its styles does not.
    `given` is the number of GB that this process was given, if it was: `memory` is what is left of it. The
    error names it.
    """
    for what, pixels, needed, lower in (
        ("picture", demand.pixels, _least_of_picture(demand, device, dtype), "max_size"),
        ("style", demand.style_pixels, _least_of_style(demand, device, dtype), "style_scale or max_size"),
    ):
        if needed > memory:
            there, remedy = f"{_gb(memory, math.floor)} GB are there", "use a machine with more memory"
            if given is not None:
                there, remedy = f"--memory {given:g} leaves {_gb(memory, math.floor)} GB", "raise --memory"
            raise NSTError(
                f"a {what} of {_mega(pixels)} megapixels needs {_gb(needed, math.ceil)} GB of memory, and "
                f"{there}; lower {lower}, or {remedy}"
            )
    return _fitting(demand, memory, device, dtype)


def _fitting(demand: Demand, memory: int, device: torch.device, dtype: torch.dtype) -> Plan:
    pixels, state, largest = demand.pixels, _state(demand), _LARGEST_TILES[device.type]
    whole = 10 if pixels > _LARGE_PICTURE else 20
    for steps, tile in ((whole, pixels), (10, largest), (5, largest), (3, _SMALLEST_TILE)):
        left = (memory - pixels * (state + _STEP * steps)) // feature_bytes(device, dtype)
        if left >= pixels:
            return Plan(steps)
        if left >= tile:
            break
    return Plan(steps, min(left, largest))


def pairs_at_once(demand: Demand, found: Plan, memory: int, device: torch.device, dtype: torch.dtype) -> int:
    """How many pairs like one with this plan fit into so many bytes together; 1 at least, and 1 in tiles."""
    if found.tile:
        return 1
    return max(1, memory // of_whole(demand, found.steps, device, dtype))


def of_whole(demand: Demand, steps: int, device: torch.device, dtype: torch.dtype) -> int:
    """The bytes that a pair needs if its picture is computed as a whole, and so many steps are stored."""
    return demand.pixels * (_state(demand) + _STEP * steps + feature_bytes(device, dtype))


def style_tile(pixels: int, part: bool, memory: int, device: torch.device, dtype: torch.dtype) -> int | None:
    """The most pixels that a tile of a style of so many pixels has; none if it is computed as a whole.

    `part` says whether only a part of the style is meant.
    """
    if pixels * feature_bytes(device, dtype) <= memory:
        return None
    left = memory - pixels * _style_bytes(part, device)
    return max(_SMALLEST_TILE, left // feature_bytes(device, dtype))


def least(demand: Demand, device: torch.device, dtype: torch.dtype) -> int:
    """The bytes that a pair needs at least."""
    return max(_least_of_picture(demand, device, dtype), _least_of_style(demand, device, dtype))


def feature_bytes(device: torch.device, dtype: torch.dtype) -> int:
    """The bytes that an evaluation needs for each pixel that it computes at once, for its features."""
    return _FEATURES[device.type][dtype]


def _least_of_picture(demand: Demand, device: torch.device, dtype: torch.dtype) -> int:
    at_once = min(demand.pixels, _SMALLEST_TILE)
    return demand.pixels * (_state(demand) + 3 * _STEP) + at_once * feature_bytes(device, dtype)


def _least_of_style(demand: Demand, device: torch.device, dtype: torch.dtype) -> int:
    at_once = min(demand.style_pixels, _SMALLEST_TILE)
    # The scale before has a quarter of the pixels. What it has taken is kept until the next one can begin.
    before = demand.pixels * _state(demand) // 4
    return (
        before
        + demand.style_pixels * _style_bytes(demand.parts, device)
        + at_once * feature_bytes(device, dtype)
    )


def _style_bytes(part: bool, device: torch.device) -> int:
    return _STYLE[device.type] + (_PART if part else 0)


def _gb(number: int, rounded: Callable[[float], int]) -> str:
    return f"{rounded(10 * number / GB) / 10:.1f}"


def _mega(pixels: int) -> str:
    return f"{pixels / 1e6:.1f}" if pixels < 9_950_000 else f"{pixels / 1e6:.0f}"


def _state(demand: Demand) -> int:
    """Bytes a pixel of what grows with the picture, and is there for all of it also where it is in tiles."""
    regions = _KEPT + _GUIDE * demand.regions if demand.regions else 0
    return _STATE - _feature_bytes("relu4_1") + sum(map(_feature_bytes, demand.content_layers)) + regions


def _feature_bytes(layer: str) -> int:
    """Bytes a pixel of the content's features at a layer, in fp32, as the delivered loss needs them."""
    return 4 * min(512, 64 * STRIDES[layer]) // STRIDES[layer] ** 2
