"""The limits of control groups, read from folders that are built like those of the kernel."""

from pathlib import Path

import pytest
import torch

from nst.available import AvailableMemory, most_for_pictures
from nst.cgroup import UNLIMITED, cpus, limit, unused
from nst.memory import GB

FILES = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
MOUNTS = {1: "sys/fs/cgroup/memory", 2: "sys/fs/cgroup"}
CPU_MOUNTS = {1: "sys/fs/cgroup/cpu,cpuacct", 2: "sys/fs/cgroup"}
LINES = {1: "5:cpu,cpuacct:{0}\n4:memory:{0}\n3:pids:/\n", 2: "0::{0}\n"}
JOB = "/slurm/job_7/step"


def belongs(root: Path, version: int, path: str) -> None:
    """Put the process into the group of this path."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(LINES[version].format(path))


def group(root: Path, version: int, path: str, most: object, used: int = 0, inactive: int = 0) -> None:
    """Make a group with these bytes as its limit, used in all, and in files that can be dropped."""
    folder = root / MOUNTS[version] / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(FILES[version], (most, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    name = "total_inactive_file" if version == 1 else "inactive_file"
    (folder / "memory.stat").write_text(f"anon {used - inactive}\n{name} {inactive}\n")


def allow(root: Path, version: int, path: str, number: float | None) -> None:
    """Let a group use so many CPUs, or any number."""
    folder = root / CPU_MOUNTS[version] / path.lstrip("/")
    folder.mkdir(parents=True, exist_ok=True)
    quota = number and round(number * 50_000)
    if version == 1:
        (folder / "cpu.cfs_quota_us").write_text(f"{quota or -1}\n")
        (folder / "cpu.cfs_period_us").write_text("50000\n")
    else:
        (folder / "cpu.max").write_text(f"{quota or 'max'} 50000\n")


@pytest.fixture(params=[1, 2])
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.mark.parametrize("limited", ["/slurm", "/slurm/job_7", JOB])
def test_the_limits_of_the_group_and_of_all_its_parents_count(
    limited: str, version: int, tmp_path: Path
) -> None:
    belongs(tmp_path, version, JOB)
    for path in ("/slurm", "/slurm/job_7", JOB):
        group(tmp_path, version, path, 2**63 - 4096 if version == 1 else "max")
    assert limit(tmp_path) >= UNLIMITED
    group(tmp_path, version, limited, 16 * GB)
    group(tmp_path, version, "/slurm/job_8", GB)
    assert limit(tmp_path) == 16 * GB


def test_the_smallest_limit_counts(version: int, tmp_path: Path) -> None:
    belongs(tmp_path, version, JOB)
    group(tmp_path, version, "/slurm", 8 * GB)
    group(tmp_path, version, JOB, 16 * GB)
    assert limit(tmp_path) == 8 * GB


@pytest.mark.parametrize("path", ["/", JOB, "/../../other"])
def test_in_a_container_the_limit_is_at_the_root(path: str, version: int, tmp_path: Path) -> None:
    belongs(tmp_path, version, path)
    group(tmp_path, version, "/", 4 * GB)
    assert limit(tmp_path) == 4 * GB


def test_there_is_no_limit_without_groups(tmp_path: Path) -> None:
    assert limit(tmp_path) == unused(GB, tmp_path) == UNLIMITED


def test_what_other_processes_of_the_group_have_taken_is_not_free(version: int, tmp_path: Path) -> None:
    belongs(tmp_path, version, JOB)
    group(tmp_path, version, "/slurm", 16 * GB, used=9 * GB, inactive=2 * GB)
    assert unused(GB, tmp_path) == 9 * GB
    assert unused(8 * GB, tmp_path) == 8 * GB
    group(tmp_path, version, JOB, 3 * GB, used=4 * GB)
    assert unused(GB, tmp_path) == 0


@pytest.mark.parametrize("limited", ["/slurm", "/slurm/job_7", JOB])
def test_the_cpus_of_the_group_and_of_all_its_parents_count(
    limited: str, version: int, tmp_path: Path
) -> None:
    belongs(tmp_path, version, JOB)
    for path in ("/slurm", "/slurm/job_7", JOB):
        allow(tmp_path, version, path, None)
    assert cpus(tmp_path) == UNLIMITED
    allow(tmp_path, version, limited, 4)
    allow(tmp_path, version, "/slurm/job_8", 1)
    assert cpus(tmp_path) == 4


@pytest.mark.parametrize(("number", "expected"), [(2, 2), (1.5, 2), (0.1, 1)])
def test_in_a_container_the_number_of_cpus_is_at_the_root(
    number: float, expected: int, version: int, tmp_path: Path
) -> None:
    belongs(tmp_path, version, JOB)
    allow(tmp_path, version, "/", number)
    assert cpus(tmp_path) == expected


def test_the_smallest_number_of_cpus_counts(version: int, tmp_path: Path) -> None:
    belongs(tmp_path, version, JOB)
    allow(tmp_path, version, "/slurm", 2)
    allow(tmp_path, version, JOB, 8)
    assert cpus(tmp_path) == 2


def test_there_is_no_limit_of_cpus_without_groups(tmp_path: Path) -> None:
    assert cpus(tmp_path) == UNLIMITED


def test_the_limit_bounds_what_pictures_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst.cgroup.limit", lambda: 3 * GB)
    monkeypatch.setattr("nst.cgroup.unused", lambda own: 2 * GB)
    assert most_for_pictures(torch.device("cpu")) == 2.4 * GB
    assert AvailableMemory(torch.device("cpu")).bytes <= 1.6 * GB
