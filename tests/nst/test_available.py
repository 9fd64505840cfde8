"""How much memory there is for pictures."""

from typing import Any

import pytest
import torch

from nst import Stylizer
from nst.available import AvailableMemory
from nst.memory import GB
from nst.vgg import VGG19

CPU = torch.device("cpu")


def test_the_memory_that_is_given_counts_less_what_the_program_takes() -> None:
    """This process has taken between 0.1 and 8 GB, and takes 1 GB at least."""
    assert 91 * GB < AvailableMemory(CPU, 100).bytes <= 99 * GB
    assert AvailableMemory(CPU, 0.01).bytes == 0


def test_the_memory_that_is_free_counts_without_a_number() -> None:
    assert AvailableMemory(CPU).bytes >= GB


def test_the_memory_is_measured_once_the_networks_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = list[str]()

    class Measured(AvailableMemory):
        def __init__(self, device: torch.device, given: float | None = None) -> None:
            made.append("memory")
            super().__init__(device, given)

    class Network(VGG19):
        def __init__(self, *arguments: Any) -> None:
            made.append("network")
            super().__init__(*arguments)

    monkeypatch.setattr("nst.targets.AvailableMemory", Measured)
    monkeypatch.setattr("nst.targets.VGG19", Network)
    assert Stylizer(device="cpu", dtype="bf16", memory=3).targets.memory.given == 3
    assert made == ["network", "network", "memory"]
