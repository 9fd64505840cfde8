"""Previews of the local engine: only of pairs that somebody watches, and only while they are computed."""

import io
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nst import Parameters, PreparedPair, Stylizer
from nst.result import Result
from pipeline.engines.base import Finished, Task
from pipeline.engines.local import LocalEngine
from pipeline.engines.previewing import preview_callbacks
from pipeline.events.listener import Evaluated
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.manifest.models import Pair, StyleEntry
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.conftest import SHALLOW, make_picture


class Announced(Previews):
    """Announces each preview."""

    def __init__(self) -> None:
        super().__init__(Timing(watched=3600))
        self.came = threading.Semaphore(0)

    def put(self, manifest: str, pair: str, jpeg: bytes) -> None:
        super().put(manifest, pair, jpeg)
        self.came.release()


class Counting(Stylizer):
    """Counts how often a run is asked for a preview, and how often it shows one."""

    def __init__(self, stylizer: Stylizer) -> None:
        self.weights, self.device, self.dtype = stylizer.weights, stylizer.device, stylizer.dtype
        self._stylizer, self.targets = stylizer, stylizer.targets
        self.asked = self.shown = 0

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        def wanted() -> Sequence[int]:
            self.asked += 1
            found: Sequence[int] = previews.wanted()
            return found

        def show(index: int, image: Image.Image) -> None:
            self.shown += 1
            previews.show(index, image)

        return self._stylizer.run(pairs, on_evaluation, replace(previews, wanted=wanted, show=show))


def task(folder: Path, epochs: int = 1, pair: str = "p", number: int = 0, manifest: str = "m") -> Task:
    parameters = Parameters.model_validate({"epochs": epochs, "max_size": 300, **SHALLOW})
    styles = (StyleEntry(image="style.png"),)
    chosen = Pair(id=pair, place="pairs[0]", content="content.png", styles=styles, parameters=parameters)
    return Task(number=number, manifest=manifest, pair=chosen, base=str(folder))


@pytest.fixture
def previews() -> Announced:
    return Announced()


@pytest.fixture
def start(previews: Announced, listener: RecordingListener) -> Iterator[Callable[[Stylizer], LocalEngine]]:
    engines = []

    def started(stylizer: Stylizer) -> LocalEngine:
        engine = LocalEngine(Settings(), Stores(), Timing(preview=0), lambda settings: stylizer)
        engine.start(listener, lambda: None, previews)
        engines.append(engine)
        return engine

    yield started
    for engine in engines:
        engine.close()


Start = Callable[[Stylizer], LocalEngine]


def test_nothing_is_copied_while_nobody_watches(
    start: Start, stylizer: Stylizer, previews: Announced, folder: Path
) -> None:
    counting = Counting(stylizer)
    engine = start(counting)
    previews.watch("m", "another pair")
    engine.submit(task(folder))
    engine.flush()
    assert isinstance(engine.take(), Finished)
    assert (counting.asked, counting.shown) == (20, 0)


def test_previews_come_while_a_pair_is_watched(
    start: Start, stylizer: Stylizer, previews: Announced, listener: RecordingListener, folder: Path
) -> None:
    make_picture(600, 300, seed=1).save(folder / "content.png")
    engine = start(stylizer)
    engine.submit(task(folder, epochs=1000))
    engine.flush()
    listener.wait_for(Evaluated)
    assert previews.watch("m", "p") is None
    found = set[bytes]()
    while len(found) < 3:
        assert previews.came.acquire(timeout=60)
        found.add(previews.watch("m", "p") or b"")
    pictures = [Image.open(io.BytesIO(jpeg)) for jpeg in found]
    assert {picture.format for picture in pictures} == {"JPEG"}
    assert all(picture.width == 2 * picture.height <= 256 for picture in pictures)


def test_a_watched_pair_has_the_same_picture_as_one_that_is_not(
    start: Start, stylizer: Stylizer, previews: Announced, folder: Path
) -> None:
    engine = start(stylizer)
    previews.watch("m", "watched")
    pictures = []
    for number, pair in enumerate(("watched", "other")):
        engine.submit(task(folder, pair=pair, number=number))
        engine.flush()
        outcome = engine.take()
        assert isinstance(outcome, Finished)
        pictures.append(Image.open(io.BytesIO(outcome.picture)).tobytes())
    assert previews.watch("m", "watched")
    assert previews.watch("m", "other") is None
    assert pictures[0] == pictures[1]


def test_a_batch_has_previews_once_in_a_while_as_soon_as_one_of_its_pairs_is_watched(folder: Path) -> None:
    previews = Previews()
    batch = [task(folder, pair="a", number=0), task(folder, pair="b", number=1)]
    callbacks = preview_callbacks(batch, previews, 3600, ())
    assert list(callbacks.wanted()) == []
    previews.watch("m", "b")
    assert list(callbacks.wanted()) == [1]
    previews.watch("m", "a")
    assert list(callbacks.wanted()) == []


def test_a_pair_that_was_cancelled_has_no_preview_although_it_is_watched(folder: Path) -> None:
    previews, cancelled = Previews(), set[int]()
    batch = [task(folder, pair="a", number=7), task(folder, pair="a", number=8, manifest="n")]
    callbacks = preview_callbacks(batch, previews, 0, cancelled)
    for manifest in ("m", "n"):
        previews.watch(manifest, "a")
    assert list(callbacks.wanted()) == [0, 1]
    cancelled.add(7)
    assert list(callbacks.wanted()) == [1]
