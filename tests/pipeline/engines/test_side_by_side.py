"""The number of pairs that a CPU computes side by side: measured when there are several, and remembered."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from nst import Stylizer
from pipeline.engines.base import Finished
from pipeline.engines.local import LocalEngine
from pipeline.engines.side_by_side import best_of, remembered
from pipeline.events.listener import BatchBegan, Note
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from tests.pipeline.engines.test_local import outcomes, tasks


@pytest.fixture(autouse=True)
def two_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two cores, quick trials, and a cache of their own for the tests."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("pipeline.engines.side_by_side._SIZE", 32)
    monkeypatch.setattr("pipeline.engines.side_by_side._SECONDS", 0.0)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def computed(folder: Path, pairs: int) -> RecordingListener:
    """Compute so many pairs with a new engine; what it told."""
    listener = RecordingListener()
    stylizer = Stylizer(device="cpu", dtype="fp32")
    engine = LocalEngine(Settings(), Stores(), make=lambda settings: stylizer)
    engine.start(listener, lambda: None, Previews())
    found = outcomes(engine, tasks(folder, ["content.png"] * pairs))
    engine.close()
    assert all(isinstance(outcome, Finished) for outcome in found)
    return listener


def notes_of(folder: Path, pairs: int) -> tuple[list[Note], list[BatchBegan]]:
    """Compute so many pairs; what was told of the measurement, and the batches."""
    told = computed(folder, pairs)
    return [note for note in told.of(Note) if "at a time" in note.message], told.of(BatchBegan)


def test_it_is_measured_once_for_a_machine(folder: Path) -> None:
    (note,), _ = notes_of(folder, 6)
    assert list(note.details["evaluations_a_second"]) == [1, 2]
    assert "GB together" in note.message
    assert notes_of(folder, 6)[0] == []


def test_pairs_are_computed_as_it_was_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "pipeline.engines.side_by_side.seconds_per_evaluation", lambda *arguments: 1 / arguments[2]
    )
    notes_of(folder, 6)
    assert [batch.pairs for batch in notes_of(folder, 6)[1]] == [2, 2, 2]


def test_a_trial_that_has_too_little_memory_is_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(stylizer: Stylizer, pair: object, batch: int, *arguments: object) -> float:
        if batch > 1:
            raise MemoryError
        return 1.0

    monkeypatch.setattr("pipeline.engines.side_by_side.seconds_per_evaluation", trial)
    (note,), batches = notes_of(folder, 6)
    assert note.details["evaluations_a_second"] == {1: 1.0}
    assert [batch.pairs for batch in batches] == [1] * 6


def test_a_number_that_is_hardly_faster_is_not_taken() -> None:
    assert best_of({1: 1.0, 2: 1.02}) == 1
    assert best_of({1: 1.0, 2: 1.2, 4: 1.21, 8: 0.9}) == 2


def test_nothing_is_measured_for_one_pair(folder: Path) -> None:
    assert notes_of(folder, 1)[0] == []


def test_it_is_measured_again_if_the_file_is_damaged(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "cache" / "nst-pipeline" / "side-by-side.json"
    kept.parent.mkdir(parents=True)
    for damaged in ("null", "[1]", '{"x": "y"}', '{"'):
        kept.write_text(damaged)
        assert remembered(Stylizer(device="cpu", dtype="fp32")) is None
    assert len(notes_of(folder, 6)[0]) == 1
    assert notes_of(folder, 6)[0] == []


def test_a_cache_that_cannot_be_written_is_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    notes = computed(folder, 6).of(Note)
    assert any("every start measures this again" in note.message for note in notes)


def test_nothing_is_measured_where_a_control_group_allows_one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr("nst.cgroup.cpus", lambda: 1)
    assert remembered(Stylizer(device="cpu", dtype="fp32")) == 1
