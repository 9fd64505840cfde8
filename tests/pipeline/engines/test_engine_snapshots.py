"""Snapshots of the local engine: what comes out with a result, and that its picture stays the same."""

import io
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from nst import Parameters, Stylizer
from pipeline.engines.animation import animation
from pipeline.engines.base import Finished, Task, Unchanged
from pipeline.engines.local import LocalEngine
from pipeline.engines.outcomes import Outcomes
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from tests.conftest import SHALLOW, make_picture
from tests.pipeline.engines.test_local import outcomes, tasks

MIB = 2**20


def wanting(task: Task, number: int, snapshots: int) -> Task:
    parameters = Parameters.model_validate(
        {"epochs": 1, "max_size": 48, **SHALLOW, "snapshots": snapshots, "preserve_color": True}
    )
    return replace(task, number=number, pair=task.pair.model_copy(update={"parameters": parameters}))


@pytest.fixture
def engine(stylizer: Stylizer) -> Iterator[LocalEngine]:
    engine = LocalEngine(Settings(), Stores(), make=lambda settings: stylizer)
    engine.start(RecordingListener(), lambda: None, Previews())
    yield engine
    engine.close()


def finished(engine: LocalEngine, folder: Path, *counts: int) -> list[Finished]:
    (task,) = tasks(folder, ["content.png"])
    found = outcomes(engine, [wanting(task, number, count) for number, count in enumerate(counts)])
    assert all(isinstance(outcome, Finished) for outcome in found)
    return [outcome for outcome in found if isinstance(outcome, Finished)]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_a_result_has_its_snapshots_as_jpegs_and_as_an_animation(engine: LocalEngine, folder: Path) -> None:
    (outcome,) = finished(engine, folder, 5)
    recorded = outcome.record.snapshots
    assert recorded and len(recorded.pictures) == len(recorded.steps) == 5
    assert recorded.steps[-1] == outcome.record.evaluations
    assert list(outcome.snapshots) == [*recorded.pictures, recorded.animation]
    jpegs = [opened(outcome.snapshots[name]) for name in recorded.pictures]
    assert {(jpeg.format, jpeg.size) for jpeg in jpegs} == {("JPEG", (48, 40))}
    moving = opened(outcome.snapshots[recorded.animation])
    assert (moving.format, moving.size, moving.info["loop"]) == ("WEBP", (48, 40), 0)
    assert getattr(moving, "n_frames", 1) > 1


def test_the_picture_file_is_the_same_with_and_without_snapshots(engine: LocalEngine, folder: Path) -> None:
    plain, shown = finished(engine, folder, 0, 12)
    assert plain.picture == shown.picture
    assert plain.record.losses == shown.record.losses
    assert plain.snapshots == {} and plain.record.snapshots is None
    assert "snapshots" not in plain.record.model_dump_json()


def test_a_pair_is_computed_again_if_only_the_number_of_its_snapshots_changes(
    engine: LocalEngine, folder: Path
) -> None:
    (outcome,) = finished(engine, folder, 3)
    known = replace(outcome.task, number=10, known=outcome.record.input_digest)
    assert [type(found) for found in outcomes(engine, [known])] == [Unchanged]
    other = replace(wanting(outcome.task, 11, 4), known=outcome.record.input_digest)
    assert [type(found) for found in outcomes(engine, [other])] == [Finished]


def test_a_result_with_snapshots_can_be_sent_to_another_machine(engine: LocalEngine, folder: Path) -> None:
    (outcome,) = finished(engine, folder, 2)
    assert pickle.loads(pickle.dumps(outcome)) == outcome


def test_the_bytes_of_snapshots_count_among_those_that_wait(engine: LocalEngine, folder: Path) -> None:
    (outcome,) = finished(engine, folder, 2)
    large, waiting = replace(outcome, snapshots={"01.jpg": bytes(512 * MIB)}), Outcomes()
    waiting.put(large)
    assert waiting.full
    waiting.take()
    assert not waiting.full


@pytest.mark.parametrize(("count", "expected"), [(2, [500, 2000]), (60, [80] * 59 + [2000])])
def test_an_animation_lasts_some_seconds_and_holds_its_last_picture(
    count: int, expected: Sequence[int]
) -> None:
    moving = opened(animation([make_picture(seed=seed) for seed in range(count)]))
    durations = []
    for frame in range(count):
        moving.seek(frame)
        moving.load()
        durations.append(moving.info["duration"])
    assert durations == expected
