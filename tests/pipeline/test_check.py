"""What `validate` says about pairs that need much memory, without a machine that has little."""

import pytest

from nst import NSTError
from nst.memory import GB
from pipeline.check import memory_of
from pipeline.settings import Settings
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

LARGE = prepared(size=(800, 600), **SHALLOW)  # it needs 1 GB at least


def settings(**given: object) -> Settings:
    return Settings.model_validate({"device": "cpu", "dtype": "fp32", **given})


def sized(monkeypatch: pytest.MonkeyPatch, most: float, now: float) -> None:
    """Let this machine have so many GB for pictures, of which so many are free."""
    monkeypatch.setattr("pipeline.check.most_for_pictures", lambda device: int(most * GB))
    measured = lambda memory: setattr(memory, "bytes", int(now * GB))  # noqa: E731
    monkeypatch.setattr("nst.available.AvailableMemory.measure", measured)


def test_a_pair_that_fits_gets_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, most=4, now=2)
    assert memory_of(settings(), print)(LARGE) == ""


def test_a_pair_that_the_machine_can_compute_at_another_time_gets_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sized(monkeypatch, most=4, now=0.5)
    warning = memory_of(settings(), print)(LARGE)
    assert "needs 1.0 GB of memory, and 0.5 GB are there" in warning
    assert warning.endswith("; it is refused unless more is free when it is computed")


def test_a_pair_that_the_machine_can_never_compute_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, most=0.5, now=0.5)
    with pytest.raises(NSTError, match=r"0\.5 GB are there"):
        memory_of(settings(), print)(LARGE)


def test_the_memory_that_is_given_decides_whatever_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, most=0.5, now=0.5)
    assert memory_of(settings(memory=50), print)(LARGE) == ""
    with pytest.raises(NSTError, match="--memory 2 leaves"):
        memory_of(settings(memory=2), print)(prepared(size=(2400, 1600), **SHALLOW))


def test_pairs_for_actors_are_not_compared_with_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    sized(monkeypatch, most=0.5, now=0.5)
    assert memory_of(settings(engine="ray", device="cuda:7"), print)(LARGE) == ""


def test_a_gpu_that_does_not_answer_gives_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(device: object) -> int:
        raise RuntimeError("CUDA error: out of memory")

    monkeypatch.setattr("pipeline.check.most_for_pictures", fail)
    warnings = list[str]()
    assert memory_of(settings(), warnings.append)(LARGE) == ""
    (warning,) = warnings
    assert warning.endswith("can't be measured: CUDA error: out of memory")
