"""What `validate` says about pairs that need much memory, without a machine that has little."""

import json
from pathlib import Path

import pytest

from nst import NSTError
from nst.memory import GB
from nst.pair import PreparedPair
from pipeline.check import check, listed, memory_of
from pipeline.errors import Problem, UsageError
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from tests.conftest import SHALLOW, make_picture
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


def test_pairs_of_a_product_share_a_sentence() -> None:
    missing = [Problem("product", "a.png: no such file", f"p{number}") for number in range(1000)]
    other = Problem("product", "b.png: no such file", "p0")
    assert listed([other, *missing, Problem("", "no pair")]) == [
        "product (p0): b.png: no such file",
        "product (p0): a.png: no such file (and 999 more pairs)",
        "no pair",
    ]


def test_an_unexpected_error_of_one_pair_hides_nothing_of_the_others(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        make_picture().save(tmp_path / name)
    pair = {"content": "a.png", "style": "b.png"}
    pairs = [{**pair, "id": "one"}, {**pair, "id": "two"}, {**pair, "content": "gone.png", "id": "three"}]
    (tmp_path / "m.json").write_text(json.dumps({"pairs": pairs}))
    errors: list[Exception] = [MemoryError(), KeyError("odd")]

    def fits(pair: PreparedPair) -> str:
        raise errors.pop(0)

    stores = Stores()
    count, problems = check(tmp_path / "m.json", stores, [], None, fits=fits)
    assert count == 3
    assert [problem.id for problem in problems] == ["one", "two", "three"]
    assert "too large for the memory at hand; lower max_size from 1024" in problems[0].message


def test_wrong_usage_is_no_fault_of_the_manifest(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        check(tmp_path / "m.json", Stores(), ["ftp://x"], None)
