"""The memory and the CPUs that the control groups of this process allow, on Linux.

A process belongs to one group, and so to all parents of it. A job of Slurm, a service of systemd and a
container have groups with limits. The group of the process may have no limit although a parent has one.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

UNLIMITED = 2**62


@dataclass(frozen=True)
class _Version:
    """The names of the files that a version of the kernel's interface has for memory."""

    limit: str
    usage: str
    inactive: str  # the line of memory.stat with the bytes of files that the kernel may drop


_ONE = _Version("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_TWO = _Version("memory.max", "memory.current", "inactive_file")


def limit(root: Path = Path("/")) -> int:
    """The most bytes that the group may take, by its own limit and those of its parents.

    It is `UNLIMITED` where there is none. `root` is the folder that has `proc` and `sys`.
    """
    return min((most for _, _, most in _limited(root)), default=UNLIMITED)


def unused(own: int, root: Path = Path("/")) -> int:
    """How many bytes the group may take beside those that it has; `own` is what this process has taken.

    What other processes of the group have taken counts, too.
    """
    left = (
        most - max(own, _number(folder / version.usage) - _inactive(folder, version))
        for folder, version, most in _limited(root)
    )
    return max(0, min(left, default=UNLIMITED))


def cpus(root: Path = Path("/")) -> int:
    """The most CPUs that the group may use, by its own limit and those of its parents; a part counts as one.

    It is `UNLIMITED` where there is no limit. `root` is the folder that has `proc` and `sys`.
    """
    most = (_quota(folder, version) for folder, version in _groups(root, "cpu"))
    return min((math.ceil(each) for each in most if each), default=UNLIMITED)


def _quota(folder: Path, version: _Version) -> float | None:
    """The CPUs that a group may use, as the time that it may take in a period; none where it has no limit."""
    with suppress(OSError, ValueError):
        if version is _TWO:  # without a limit, the time is `max`
            time, period = map(int, (folder / "cpu.max").read_text().split())
        else:  # without a limit, the time is -1
            time, period = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
        return time / period if time > 0 and period > 0 else None
    return None


def _limited(root: Path) -> Iterator[tuple[Path, _Version, int]]:
    """The folders of the groups that have a limit, with these limits in bytes."""
    for folder, version in _groups(root, "memory"):
        with suppress(OSError, ValueError):  # the limit is `max` where there is none
            yield folder, version, int((folder / version.limit).read_text())


def _groups(root: Path, controller: str) -> Iterator[tuple[Path, _Version]]:
    """The folders of the group of this process and of its parents, from the outermost one.

    The first version has other groups for each controller, such as `memory`.
    """
    lines = list[str]()
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        version = _ONE if controllers else _TWO
        # The first version mounts some together, as `cpu,cpuacct`, mostly with a link for each name.
        mounts = (controllers, controller) if controllers else ("", "unified")
        # In a container the path may be that of the host, of which only the root is there.
        parts = PurePosixPath(path).parts[1:]
        for mount in mounts:
            for count in range(len(parts) + 1):
                yield (root / "sys/fs/cgroup" / mount).joinpath(*parts[:count]), version


def _number(path: Path) -> int:
    with suppress(OSError, ValueError):
        return int(path.read_text())
    return 0


def _inactive(folder: Path, version: _Version) -> int:
    with suppress(OSError, ValueError):
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == version.inactive:
                return int(value)
    return 0
