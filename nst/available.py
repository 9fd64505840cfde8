"""How much memory there is for pictures."""

import os
from contextlib import suppress
from pathlib import Path

import torch

from nst.memory import GB

_USABLE = 0.8  # the share of the free memory that pictures may take
# What the program takes beside pictures and networks: buffers of the convolutions or, on a GPU, the driver.
# With the networks it takes `_PROGRAM` at least.
_BUFFERS = {"cpu": GB // 4, "cuda": GB // 2}
_PROGRAM = {"cpu": GB, "cuda": 5 * GB // 8}


class AvailableMemory:
    """The bytes of a device that pictures may take: what is left of a given number, or most of what is free.

    `given` is that number, in GB; none if none is given.
    """

    def __init__(self, device: torch.device, given: float | None = None) -> None:
        """Make it once the networks are on the device, because what they take is not there for pictures.

        On a CPU, the limit of the control group counts, such as that of a container. If no number is given,
        it is one GB at least, because free memory is only an estimate.
        """
        self.given = given
        if given is not None:
            taken = max(_PROGRAM[device.type], _used(device) + _BUFFERS[device.type])
            self.bytes = max(0, int(given * GB) - taken)
        elif device.type == "cuda":
            self.bytes = usable_of_gpu(device)
        else:
            self.bytes = max(GB, int(_USABLE * min(_free_of_host(), _limit_of_group() - _used(device))))


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


def _used(device: torch.device) -> int:
    """What this process has taken; on a GPU, what its tensors have."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
