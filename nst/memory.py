"""How the memory at hand is divided for a picture: tiles, and the steps that the search stores."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from nst.errors import NSTError
from nst.vgg import LARGE_PICTURE

GB = 10**9
_USABLE = 0.8  # the share of the free memory that pictures may take
_STEP = 24  # bytes a pixel of one step that L-BFGS stores
_STATE = 180  # bytes a pixel of what else grows with the picture
_KEPT, _GUIDE = 16, 12  # bytes a pixel of what is kept of the content, and of each region
_FEATURES = {torch.float32: 2600, torch.bfloat16: 1500}  # bytes a pixel that is computed at once
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


def plan(pixels: int, memory: int, device: torch.device, dtype: torch.dtype, regions: int = 0) -> Plan:
    """The plan for a picture of so many pixels and regions in so many bytes, with features of this type.

    Raises `NSTError` if the picture does not fit, not even in small tiles.
    """
    state = _state(regions)
    whole = 10 if pixels > LARGE_PICTURE else 20
    if pixels * (state + _STEP * whole + _FEATURES[dtype]) <= memory:
        return Plan(whole)
    largest = _LARGEST_TILES[device.type]
    for steps, tile in ((10, largest), (5, largest), (3, _SMALLEST_TILE)):
        left = (memory - pixels * (state + _STEP * steps)) // _FEATURES[dtype]
        if left >= tile:
            return Plan(steps, min(left, largest))
    needed = least(pixels, dtype, regions)
    raise NSTError(
        f"a picture of {pixels / 1e6:.0f} megapixels needs {needed / GB:.1f} GB of memory, and "
        f"{memory / GB:.1f} GB are there; lower max_size, or use a machine with more memory"
    )


def pixels_at_once(memory: int, dtype: torch.dtype) -> int:
    """How many pixels can be computed at once in so many bytes, if nothing else takes memory."""
    return memory // _FEATURES[dtype]


def least(pixels: int, dtype: torch.dtype, regions: int = 0) -> int:
    """The bytes that a picture of so many pixels and regions needs at least."""
    return pixels * (_state(regions) + 3 * _STEP) + _SMALLEST_TILE * _FEATURES[dtype]


def _state(regions: int) -> int:
    return _STATE + (_KEPT + _GUIDE * regions if regions else 0)


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
