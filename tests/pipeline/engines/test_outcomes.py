"""What an engine has finished is limited in number and in bytes, and a full engine wants no more tasks."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nst import PreparedPair, Stylizer
from nst.result import Evaluation, Losses, Result
from pipeline.engines.base import Failed, Finished, Task
from pipeline.engines.local import LocalEngine
from pipeline.engines.outcomes import Outcomes, unencoded_bytes
from pipeline.errors import Problem
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from tests.conftest import make_picture, make_png
from tests.nst.files import file_of
from tests.pipeline.box import Instant
from tests.pipeline.engines.test_local import outcomes, tasks
from tests.pipeline.engines.test_prepare import prepared

MIB = 2**20


class Held(list[Evaluation]):
    """Evaluations that hold the encoder, which counts them, until `release` is set."""

    release = threading.Event()

    def __len__(self) -> int:
        self.release.wait(60)
        return super().__len__()


class Large(Instant):
    """Returns one picture of 4096 x 4096 pixels for every pair; the encoder cannot encode it yet."""

    picture = Image.new("RGB", (4096, 4096))

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        losses = Losses(1.0, 1.0, 0.0, 2.0)
        evaluations = Held([Evaluation(1, 1, 32, losses, 0.1)])
        return [Result(self.picture, losses, 1e6, evaluations, 0.1) for _ in pairs]


class Started:
    """A local engine, and a number of tasks that it has wanted when it wants no more."""

    def __init__(self, stylizer: Stylizer, task: Task) -> None:
        self.changed = threading.Event()
        self.engine = LocalEngine(Settings(), Stores(), make=lambda settings: stylizer)
        self.engine.start(RecordingListener(), self.changed.set, Previews())
        self._task = task

    def submitted_until_full(self) -> int:
        number, going_on = 0, True
        while number < 500 and going_on:
            self.changed.clear()
            for _ in range(self.engine.wanted()):
                self.engine.submit(replace(self._task, number=number))
                number += 1
            going_on = self.changed.wait(2)  # nothing changes any more once enough results wait
        return number


@pytest.fixture
def started(stylizer: Stylizer, folder: Path) -> Iterator[list[Started]]:
    listed: list[Started] = []
    yield listed
    Held.release.set()
    for each in listed:
        each.engine.close()
    Held.release.clear()


def finished(stylizer: Stylizer, folder: Path) -> Finished:
    engine = Started(Instant(stylizer), tasks(folder, ["content.png"])[0]).engine
    (outcome,) = outcomes(engine, tasks(folder, ["content.png"]))
    engine.close()
    assert isinstance(outcome, Finished)
    return outcome


def test_no_more_tasks_are_wanted_while_many_results_are_not_taken(
    started: list[Started], stylizer: Stylizer, folder: Path
) -> None:
    started.append(Started(Instant(stylizer), tasks(folder, ["content.png"])[0]))
    assert 64 <= started[0].submitted_until_full() < 100
    started[0].engine.take()


def test_no_more_tasks_are_wanted_while_large_results_wait_for_the_encoder(
    started: list[Started], stylizer: Stylizer, folder: Path
) -> None:
    started.append(Started(Large(stylizer), tasks(folder, ["content.png"])[0]))
    assert 8 <= started[0].submitted_until_full() < 16  # each takes 64 MiB of 512
    Held.release.set()
    assert isinstance(started[0].engine.take(), Finished)
    assert started[0].changed.wait(30)


def test_outcomes_are_full_at_a_number_of_encoded_bytes_and_no_more_when_they_are_taken(
    stylizer: Stylizer, folder: Path
) -> None:
    large = replace(finished(stylizer, folder), picture=bytes(100 * MIB))
    waiting = Outcomes()
    for _ in range(5):
        assert not waiting.full
        waiting.put(large)
    assert not waiting.full
    waiting.put(large)
    assert waiting.full
    assert waiting.take() is large
    assert not waiting.full


def test_masks_and_regions_and_transparency_count_until_a_result_is_encoded(folder: Path) -> None:
    for name in ("left", "right"):
        mask = Image.new("L", (100, 100))
        mask.paste(255, (0, 0, 50, 100) if name == "left" else (50, 0, 100, 100))
        mask.save(folder / f"{name}.png")
    mask.paste(0, (10, 0, 100, 100))
    mask.paste(255, (0, 0, 10, 100))
    mask.save(folder / "stripe.png")
    content = make_picture(60, 50).convert("RGBA")
    content.putpixel((0, 0), (9, 9, 9, 9))
    picture = Image.new("RGB", (60, 50))
    result = Result(picture, Losses(1.0, 1.0, 0.0, 2.0), 1e6, [], 0.1)
    regions = [{"image": "style.png", "region": f"{name}.png"} for name in ("left", "right")]
    counted = [
        unencoded_bytes(pair, result)
        for pair in (
            prepared(folder, make_png(60, 50)),
            prepared(folder, file_of(content, "PNG")),
            prepared(folder, make_png(60, 50), style=None, styles=regions),
            prepared(folder, make_png(60, 50), style=None, styles=regions, keep="stripe.png"),
        )
    ]
    assert [size - counted[0] for size in counted[1:]] == [
        5 * 3000,
        3 * 3000 + 2 * 100**2,
        3 * 3000 + 3 * 100**2,
    ]


def test_a_result_counts_from_the_device_until_it_is_taken(stylizer: Stylizer, folder: Path) -> None:
    outcome, waiting = finished(stylizer, folder), Outcomes()
    waiting.expect(512 * MIB)
    assert waiting.full
    waiting.put_encoded(outcome, 512 * MIB)
    assert not waiting.full
    for _ in range(63):
        waiting.put(Failed(outcome.task, Problem("", "is bad")))
    assert waiting.full
    waiting.take()
    assert not waiting.full
