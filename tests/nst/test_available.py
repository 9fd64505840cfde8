"""How much memory there is for pictures."""

from typing import Any

import pytest
import torch

from nst import NSTError, Stylizer
from nst.available import AvailableMemory, most_for_pictures
from nst.memory import GB
from nst.vgg import VGG19
from tests.nst.pairs import prepared

CPU = torch.device("cpu")


def test_the_memory_that_is_given_counts_less_what_the_program_takes() -> None:
    """This process has taken between 0.1 and 8 GB, and takes 1 GB at least."""
    assert 91 * GB < AvailableMemory(CPU, 100).bytes <= 99 * GB
    assert AvailableMemory(CPU, 0.01).bytes == 0


def test_the_memory_that_is_free_counts_without_a_number() -> None:
    assert AvailableMemory(CPU).bytes >= GB


def test_the_memory_is_measured_again_before_a_pair_is_refused() -> None:
    """Another process may have had all of it when this one started."""
    stylizer, pair = Stylizer(device="cpu", dtype="fp32"), prepared()
    stylizer.targets.memory.bytes = 1
    assert stylizer.plan(pair).tile is None
    assert stylizer.targets.memory.bytes >= GB


def test_what_was_given_does_not_change() -> None:
    stylizer, pair = Stylizer(device="cpu", dtype="fp32", memory=3), prepared()
    stylizer.targets.memory.bytes = 1
    with pytest.raises(NSTError, match=r"--memory 3 leaves 0\.0 GB"):
        stylizer.plan(pair)


def test_a_measurement_never_lowers_the_number() -> None:
    """The pictures that are computed meanwhile would count twice."""
    memory = AvailableMemory(CPU)
    memory.bytes = 10**18
    memory.measure()
    assert memory.bytes == 10**18


def test_more_memory_can_be_there_for_pictures_than_is_free_now() -> None:
    assert most_for_pictures(CPU) >= GB


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
