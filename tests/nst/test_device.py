"""The threads that a CPU uses within the limit of a control group."""

from collections.abc import Iterator

import pytest
import torch

from nst.device import set_up


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Four threads of PyTorch, as on a machine of four cores."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("allowed", "threads"), [(2, 2), (4, 4), (64, 4)])
def test_a_cpu_uses_no_more_threads_than_its_control_group_has_cpus(
    allowed: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst.cgroup.cpus", lambda: allowed)
    set_up(torch.device("cpu"))
    assert torch.get_num_threads() == threads


def test_the_number_of_threads_that_is_given_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setattr("nst.cgroup.cpus", lambda: 2)
    set_up(torch.device("cpu"))
    assert torch.get_num_threads() == 4
