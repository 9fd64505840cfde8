"""How the memory at hand is divided for a picture: tiles, and the steps that the search stores."""

import math
import os
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from nst.errors import NSTError
from nst.pair import PreparedPair
from nst.tiles import STRIDES
from nst.vgg import LARGE_PICTURE

GB = 10**9
_USABLE = 0.8  # the share of the free memory that pictures may take
_STEP = 24  # bytes a pixel of one step that L-BFGS stores
_STATE = 180  # bytes a pixel of what else grows with the picture, with the content's features at relu4_1
_KEPT, _GUIDE = 16, 12  # bytes a pixel of what is kept of the content, and of each region
_FEATURES = {torch.float32: 2600, torch.bfloat16: 1500}  # bytes a pixel that is computed at once
# Bytes a pixel of a style while its Gram matrices are computed. On a CPU these are its integers of 8 bits and
# its numbers in fp32; a GPU has only the latter. A part of a style takes more: its mask, and guides of it.
_STYLE, _PART = {"cpu": 20, "cuda": 12}, 36
_SMALLEST_TILE = 512**2  # pixels with margins; of a smaller one, the margins would be the most
# On a CPU, larger tiles take more time, probably because they do not fit into its caches: a picture of 1024
# px takes 1.3 times as long in four tiles as whole, and 1.6 times as long in two.
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


def plan(demand: Demand, memory: int, device: torch.device, dtype: torch.dtype) -> Plan:
    """The plan for a picture in so many bytes, with features of this type.

    Raises `NSTError` if the picture does not fit, not even in small tiles, or if one of its styles does not.
    """
    found = _plan_of_picture(demand, memory, device, dtype)
    _check_style(demand, memory, device, dtype)
    return found


def _plan_of_picture(demand: Demand, memory: int, device: torch.device, dtype: torch.dtype) -> Plan:
    pixels, state = demand.pixels, _state(demand)
    whole = 10 if pixels > LARGE_PICTURE else 20
    if pixels * (state + _STEP * whole + _FEATURES[dtype]) <= memory:
        return Plan(whole)
    largest = _LARGEST_TILES[device.type]
    for steps, tile in ((10, largest), (5, largest), (3, _SMALLEST_TILE)):
        left = (memory - pixels * (state + _STEP * steps)) // _FEATURES[dtype]
        if left >= tile:
            return Plan(steps, min(left, largest))
    raise _too_little("picture", pixels, least(demand, dtype), memory, "max_size")


def style_tile(pixels: int, part: bool, memory: int, device: torch.device, dtype: torch.dtype) -> int | None:
    """The most pixels that a tile of a style of so many pixels has; none if it is computed as a whole.

    `part` says whether only a part of the style is meant.
    """
    if pixels * _FEATURES[dtype] <= memory:
        return None
    left = memory - pixels * _style_bytes(part, device)
    return max(_SMALLEST_TILE, left // _FEATURES[dtype])


def least(demand: Demand, dtype: torch.dtype) -> int:
    """The bytes that a picture needs at least, if its styles are not larger than the picture."""
    return demand.pixels * (_state(demand) + 3 * _STEP) + _SMALLEST_TILE * _FEATURES[dtype]


def _check_style(demand: Demand, memory: int, device: torch.device, dtype: torch.dtype) -> None:
    needed = demand.style_pixels * _style_bytes(demand.parts, device) + _SMALLEST_TILE * _FEATURES[dtype]
    # The scale before has a quarter of the pixels. What it has taken is kept until the next one can begin.
    needed += demand.pixels * _state(demand) // 4
    if needed > memory:
        raise _too_little("style", demand.style_pixels, needed, memory, "style_scale or max_size")


def _style_bytes(part: bool, device: torch.device) -> int:
    return _STYLE[device.type] + (_PART if part else 0)


def _too_little(what: str, pixels: int, needed: int, memory: int, parameters: str) -> NSTError:
    return NSTError(
        f"a {what} of {pixels / 1e6:.0f} megapixels needs {needed / GB:.1f} GB of memory, and "
        f"{memory / GB:.1f} GB are there; lower {parameters}, or use a machine with more memory"
    )


def _state(demand: Demand) -> int:
    """Bytes a pixel of what grows with the picture, and is there for all of it also where it is in tiles."""
    regions = _KEPT + _GUIDE * demand.regions if demand.regions else 0
    return _STATE - _feature_bytes("relu4_1") + sum(map(_feature_bytes, demand.content_layers)) + regions


def _feature_bytes(layer: str) -> int:
    """Bytes a pixel of the content's features at a layer, in fp32, as the delivered loss needs them."""
    return 4 * min(512, 64 * STRIDES[layer]) // STRIDES[layer] ** 2


def for_pictures(device: torch.device, memory: float | None = None) -> int:
    """The bytes that pictures may take: what is left of `memory` in GB, or most of what is free.

    On a CPU, the limit of the control group counts, such as that of a container. Without `memory` it is one
    GB at least, because free memory is only an estimate.
    """
    if memory is not None:
        used = torch.cuda.memory_allocated(device) if device.type == "cuda" else _used()
        return max(0, int(memory * GB) - used)
    if device.type == "cuda":
        return usable_of_gpu(device)
    return max(GB, int(_USABLE * min(_free_of_host(), _limit_of_group() - _used())))


def usable_of_gpu(device: torch.device) -> int:
    """The bytes of a GPU that pictures may take now: most of what no tensor of this process has taken."""
    free, _ = torch.cuda.mem_get_info(device)
    unused = free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(_USABLE * unused)


def _free_of_host() -> int:
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _limit_of_group() -> int:
    """The most that the control group of this process may take; a very large number without a limit."""
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # the limit is `max` where there is none
            return int(Path(path).read_text())
    return 2**62


def _used() -> int:
    """What this process has taken."""
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
