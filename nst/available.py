"""How much memory there is for pictures."""

import os
from contextlib import suppress
from pathlib import Path

import torch

from nst import cgroup
from nst.memory import GB

_USABLE = 0.8  # the share of the free memory that pictures may take
# What the program takes beside pictures and networks: buffers of the convolutions or, on a GPU, the driver.
# With the networks it takes `_PROGRAM` at least.
_BUFFERS = {"cpu": GB // 4, "cuda": GB // 2}
_PROGRAM = {"cpu": GB, "cuda": 5 * GB // 8}


class AvailableMemory:
    """The bytes of a device that pictures may take.

    If this process was given a number of GB, they are that less what the program itself takes. Otherwise they
    are most of what is free. `bytes` is what was there at the last measurement. `given` is the number of GB,
    if there is one. `device` is the device.
    """

    def __init__(self, device: torch.device, given: float | None = None) -> None:
        """Make it once the networks are on the device, because what they take is not there for pictures.

        On a CPU, the limit of the control group counts, such as that of a container. If no number is given,
        it is one GB at least, because free memory is only an estimate.
        """
        self.given, self.device, self._networks = given, device, _used(device)
        if given is None:
            self.bytes = 0
            self.measure()
        else:
            taken = max(_PROGRAM[device.type], self._networks + _BUFFERS[device.type])
            self.bytes = max(0, int(given * GB) - taken)

    def measure(self) -> None:
        """Measure again, if no number was given, and increase `bytes` if more is free than before.

        The memory of pictures that this process computes meanwhile counts as free: it will be.
        """
        self.bytes = max(self.bytes, self.now())

    def now(self) -> int:
        """What pictures may take now: less than `bytes` if another program has taken memory since."""
        if self.given is not None:
            return self.bytes
        pictures = max(0, _used(self.device) - self._networks)
        if self.device.type == "cuda":
            return usable_of_gpu(self.device) + int(_USABLE * pictures)
        return max(GB, int(_USABLE * (_free_of_host() + pictures)))

    def left(self) -> int:
        """The bytes of a GPU that this process can take beside those that PyTorch has taken, used or not."""
        free, _ = torch.cuda.mem_get_info(self.device)
        if self.given is None:
            return free
        return min(free, int(self.given * GB) - torch.cuda.memory_reserved(self.device))


def most_for_pictures(device: torch.device) -> int:
    """The bytes of a device that pictures may take if nothing else takes memory."""
    if device.type == "cuda":
        _, total = torch.cuda.mem_get_info(device)
        return int(_USABLE * total)
    return max(GB, int(_USABLE * min(_total_of_host(), cgroup.limit())))


def usable_of_gpu(device: torch.device) -> int:
    """The bytes of a GPU that pictures may take now: most of what no tensor of this process has taken."""
    free, _ = torch.cuda.mem_get_info(device)
    unused = free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(_USABLE * unused)


def _free_of_host() -> int:
    """What this machine and the control group have left."""
    of_group = cgroup.unused(_used(torch.device("cpu")))
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return min(of_group, int(line.split()[1]) * 1024)
    return min(of_group, _total_of_host())


def _total_of_host() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _used(device: torch.device) -> int:
    """What this process has taken; on a GPU, what its tensors have."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device)
    with suppress(OSError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
