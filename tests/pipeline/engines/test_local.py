"""The engine of one device: batches, lack of memory, cancelling and stopping."""

import itertools
import json
import math
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from nst import Parameters, PreparedPair, PreviewCallbacks, Stylizer
from nst.memory import Plan
from nst.result import Evaluation, Losses, Result
from pipeline.engines.base import Died, Engine, Failed, Finished, Outcome, Task, Unchanged
from pipeline.engines.local import LocalEngine
from pipeline.errors import EngineLostError, UnavailableError
from pipeline.events.listener import (
    BatchBegan,
    BatchEnded,
    Evaluated,
    Event,
    StoreUnavailable,
    TileComputed,
)
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.manifest.models import Pair, StyleEntry
from pipeline.settings import Settings
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.conftest import SHALLOW, make_picture

OnEvaluation = Callable[[int, Evaluation], None]


class SimulatedGpu(Stylizer):
    """Has batches of four pairs, and raises `refusal` for batches that do not fit."""

    def __init__(self, stylizer: Stylizer, fits: Callable[[Sequence[PreparedPair]], bool]) -> None:
        self.weights, self.device, self.dtype = stylizer.weights, stylizer.device, stylizer.dtype
        self.targets = stylizer.targets
        self._stylizer, self._fits = stylizer, fits
        self.batches: list[int] = []
        self.refusal: Exception = torch.OutOfMemoryError()

    def capacity(self, pair: PreparedPair) -> int:
        return 4

    def run(
        self,
        pairs: Sequence[PreparedPair],
        on_evaluation: OnEvaluation = lambda index, evaluation: None,
        previews: PreviewCallbacks | None = None,
    ) -> list[Result]:
        self.batches.append(len(pairs))
        assert len({pair.group for pair in pairs}) == 1
        if not self._fits(pairs):
            raise self.refusal
        return self._stylizer.run(pairs, on_evaluation, previews)


def tasks(folder: Path, contents: Sequence[str], epochs: int = 1) -> list[Task]:
    parameters = [
        Parameters.model_validate({"epochs": epochs, "max_size": 48, "seed": seed, **SHALLOW})
        for seed in range(len(contents))
    ]
    styles = (StyleEntry(image="style.png"),)
    return [
        Task(
            number=n,
            manifest="m",
            pair=Pair(
                id=f"{n}", place=f"pairs[{n}]", content=content, styles=styles, parameters=parameters[n]
            ),
            base=str(folder),
        )
        for n, content in enumerate(contents)
    ]


@pytest.fixture
def seven(folder: Path) -> list[Task]:
    """Six pairs of the same shape, and one of another shape."""
    make_picture(48, 48, seed=3).save(folder / "square.png")
    return tasks(folder, ["content.png"] * 6 + ["square.png"])


Start = Callable[[Stylizer], LocalEngine]
changed = threading.Event()  # set whenever an engine may want more


@pytest.fixture
def start(listener: RecordingListener) -> Iterator[Start]:
    engines = []

    def started(stylizer: Stylizer) -> LocalEngine:
        engine = LocalEngine(Settings(), Stores(), Timing(retry_first=0.01), lambda settings: stylizer)
        engine.start(listener, changed.set, Previews())
        engines.append(engine)
        return engine

    yield started
    for engine in engines:
        engine.close()


def outcomes(engine: Engine, submitted: Sequence[Task]) -> list[Outcome]:
    """Submit tasks; their outcomes, in the order of their numbers."""
    for task in submitted:
        engine.submit(task)
    engine.flush()
    found = [outcome for _ in submitted if (outcome := engine.take())]
    return sorted(found, key=lambda outcome: outcome.task.number)


def test_pairs_of_the_same_shape_share_a_batch(start: Start, stylizer: Stylizer, seven: list[Task]) -> None:
    gpu = SimulatedGpu(stylizer, lambda pairs: True)
    found = outcomes(start(gpu), seven)
    assert [outcome.task for outcome in found] == seven
    assert all(isinstance(outcome, Finished) for outcome in found)
    assert gpu.batches in ([4, 2, 1], [4, 1, 2])


def test_a_pair_whose_loss_is_not_finite_fails_and_the_others_of_its_batch_are_done(
    start: Start, stylizer: Stylizer, folder: Path
) -> None:
    class Broken(SimulatedGpu):
        """The pair of seed 1 begins with a picture of NaN."""

        def run(
            self, pairs: Sequence[PreparedPair], on_evaluation: OnEvaluation = print, previews: Any = None
        ) -> list[Result]:
            nan = torch.full_like(pairs[0].starts, math.nan)
            broken = [replace(pair, starts=nan) if pair.parameters.seed == 1 else pair for pair in pairs]
            return super().run(broken, on_evaluation)

    found = outcomes(start(Broken(stylizer, lambda pairs: True)), tasks(folder, ["content.png"] * 4))
    assert [type(outcome) for outcome in found] == [Finished, Failed, Finished, Finished]
    assert isinstance(found[1], Failed)
    assert "the loss is not a finite number" in found[1].problem.message


def test_the_loss_log_is_valid_json_although_single_evaluations_are_not_finite(
    start: Start, stylizer: Stylizer, folder: Path
) -> None:
    class Interrupted(SimulatedGpu):
        """The first evaluation has no finite loss, the later ones have."""

        def run(
            self, pairs: Sequence[PreparedPair], on_evaluation: OnEvaluation = print, previews: Any = None
        ) -> list[Result]:
            (result,) = super().run(pairs, on_evaluation)
            first = replace(result.evaluations[0], losses=Losses(math.nan, math.inf, -math.inf, math.nan))
            return [replace(result, evaluations=[first, *result.evaluations[1:]])]

    engine = start(Interrupted(stylizer, lambda pairs: True))
    (finished,) = outcomes(engine, tasks(folder, ["content.png"]))
    assert isinstance(finished, Finished)
    first, second, *_ = map(strict_json, finished.loss_log.splitlines())
    assert [first[term] for term in ("content", "style", "tv", "total")] == [None] * 4
    assert second["total"] > 0
    strict_json(finished.record.model_dump_json().encode())


def strict_json(text: bytes) -> Any:
    def refuse(token: str) -> None:
        raise ValueError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_a_result_has_picture_loss_log_record_and_thumbnails(
    start: Start, stylizer: Stylizer, seven: list[Task]
) -> None:
    (finished,) = outcomes(start(stylizer), seven[:1])
    assert isinstance(finished, Finished)
    record = finished.record
    assert finished.picture.startswith(b"\x89PNG")
    evaluations = finished.loss_log.splitlines()
    assert len(evaluations) == record.evaluations == 20
    assert list(json.loads(evaluations[-1])) == [
        *("step", "scale", "content", "style", "tv", "total", "seconds"),
    ]
    assert finished.thumbnails.keys() == {record.content.thumbnail, *(s.thumbnail for s in record.styles)}
    (unchanged,) = outcomes(start(stylizer), [replace(seven[0], known=record.input_digest)])
    assert isinstance(unchanged, Unchanged)


def test_a_batch_that_is_too_large_is_halved(start: Start, stylizer: Stylizer, seven: list[Task]) -> None:
    gpu = SimulatedGpu(stylizer, lambda pairs: len(pairs) == 1)
    assert all(isinstance(outcome, Finished) for outcome in outcomes(start(gpu), seven))


def test_each_batch_is_reported_when_it_begins_and_when_it_ends(
    start: Start, stylizer: Stylizer, seven: list[Task], listener: RecordingListener
) -> None:
    gpu = SimulatedGpu(stylizer, lambda pairs: len(pairs) == 1)
    outcomes(start(gpu), seven)
    reported = [event for event in listener.events if isinstance(event, BatchBegan | BatchEnded)]
    # Batches that are too large are reported as well.
    expected = [[BatchBegan(pairs), BatchEnded()] for pairs in gpu.batches]
    assert reported == list(itertools.chain(*expected))
    assert max(gpu.batches) == 4


@pytest.mark.parametrize(
    "refusal",
    [
        torch.OutOfMemoryError(),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."),
    ],
)
def test_a_pair_that_does_not_fit_alone_fails_and_the_others_are_done(
    refusal: Exception, start: Start, stylizer: Stylizer, seven: list[Task]
) -> None:
    gpu = SimulatedGpu(stylizer, lambda pairs: all(pair.parameters.seed != 2 for pair in pairs))
    gpu.refusal = refusal
    found = outcomes(start(gpu), seven)
    failed = [outcome for outcome in found if isinstance(outcome, Failed)]
    assert [(f.problem.place, f.problem.id) for f in failed] == [("pairs[2]", "2")]
    assert "too large for the memory at hand; lower max_size from 48" in failed[0].problem.message


def test_a_missing_image_fails_only_its_pair(start: Start, stylizer: Stylizer, folder: Path) -> None:
    good, bad = outcomes(start(stylizer), tasks(folder, ["content.png", "gone.png"]))
    assert isinstance(good, Finished)
    assert isinstance(bad, Failed)
    assert bad.problem.message.startswith("gone.png: no such file")


def test_a_task_that_must_run_alone_shares_no_batch(
    start: Start, stylizer: Stylizer, seven: list[Task]
) -> None:
    gpu = SimulatedGpu(stylizer, lambda pairs: True)
    outcomes(start(gpu), [replace(seven[0], alone=True), *seven[1:4]])
    assert sorted(gpu.batches) == [1, 3]


def test_tasks_of_higher_priority_and_of_new_manifests_run_first(
    start: Start, stylizer: Stylizer, listener: RecordingListener, folder: Path
) -> None:
    listed = tasks(folder, ["content.png"] * 5)
    listed[3], listed[4] = replace(listed[3], newcomer=True), replace(listed[4], priority=1)
    engine = start(stylizer)
    release, gate = threading.Event(), listener.hear

    def hold(event: object) -> None:
        gate(event)  # type: ignore[arg-type]
        if isinstance(event, Evaluated) and event.pair == "0":
            release.wait(60)

    listener.hear = hold  # type: ignore[method-assign]
    engine.submit(listed[0])
    listener.wait_for(Evaluated)
    for task in listed[1:]:
        engine.submit(task)
    wait_until_prepared(engine, folder)
    release.set()
    for _ in listed:
        engine.take()
    begun = [event.pair for event in listener.of(Evaluated) if event.evaluation.step == 1]
    assert begun == ["0", "4", "3", "1", "2"]


def wait_until_prepared(engine: LocalEngine, folder: Path) -> None:
    """Wait until all submitted tasks are prepared.

    Two threads prepare tasks in order, so all are prepared when two more tasks have failed in preparation.
    """
    bad = [replace(task, number=100 + task.number) for task in tasks(folder, ["gone.png"] * 2)]
    for task in bad:
        engine.submit(task)
    assert {type(engine.take()) for _ in bad} == {Failed}


def test_a_cancelled_batch_ends_at_its_next_evaluation(
    start: Start, stylizer: Stylizer, listener: RecordingListener, folder: Path
) -> None:
    engine = start(stylizer)
    endless, after = tasks(folder, ["content.png"] * 2, epochs=1000)
    engine.submit(endless)
    listener.wait_for(Evaluated)
    engine.cancel("m")
    engine.submit(replace(after, manifest="n", pair=tasks(folder, ["content.png"])[0].pair))
    outcome = engine.take()
    assert outcome
    assert outcome.task.manifest == "n"


def test_a_cancelled_batch_ends_at_its_next_tile(
    start: Start,
    stylizer: Stylizer,
    listener: RecordingListener,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An evaluation may take an hour."""
    plans = [Plan(steps=20, tile=1600)]
    monkeypatch.setattr("nst.targets.plan", lambda *arguments: plans[0])
    engine, hear = start(stylizer), listener.hear

    def cancel(event: Event) -> None:
        hear(event)
        if isinstance(event, TileComputed):
            engine.cancel("m")
            plans[0] = Plan(steps=20)

    listener.hear = cancel  # type: ignore[method-assign]
    large, after = tasks(folder, ["content.png"] * 2)
    engine.submit(large)
    listener.wait_for(TileComputed)
    engine.submit(replace(after, manifest="n"))
    outcome = engine.take()
    assert outcome
    assert outcome.task.manifest == "n"
    assert len(listener.of(TileComputed)) == 1


def test_a_stopped_engine_gives_no_more_outcomes(
    start: Start, stylizer: Stylizer, listener: RecordingListener, folder: Path
) -> None:
    engine = start(stylizer)
    engine.submit(tasks(folder, ["content.png"], epochs=1000)[0])
    listener.wait_for(Evaluated)
    engine.stop()
    assert engine.take() is None
    engine.close()


@pytest.mark.parametrize("where", ["run", "capacity"])
def test_a_failed_gpu_ends_the_tasks_of_its_batch_and_the_engine(
    start: Start, stylizer: Stylizer, folder: Path, where: str
) -> None:
    class Failing(SimulatedGpu):
        def capacity(self, pair: PreparedPair) -> int:
            if where == "capacity":
                raise torch.AcceleratorError("CUDA error: unspecified launch failure")
            return 1

    failing = Failing(stylizer, lambda pairs: False)
    failing.refusal = torch.AcceleratorError("CUDA error: unspecified launch failure")
    engine = start(failing)
    engine.submit(tasks(folder, ["content.png"])[0])
    assert isinstance(engine.take(), Died)
    with pytest.raises(EngineLostError, match="only a new process can use it"):
        engine.take()


def test_pairs_that_were_finished_before_the_gpu_failed_with_the_rest_of_their_batch_have_one_outcome(
    start: Start, stylizer: Stylizer, folder: Path
) -> None:
    """The batch of four does not fit. Its first half does, and with the second one the GPU fails."""

    def fits(pairs: Sequence[PreparedPair]) -> bool:
        if len(gpu.batches) == 3:
            gpu.refusal = torch.AcceleratorError("CUDA error: unspecified launch failure")
        return len(gpu.batches) == 2

    gpu = SimulatedGpu(stylizer, fits)
    engine = start(gpu)
    found = [
        (type(outcome), outcome.task.number)
        for outcome in outcomes(engine, tasks(folder, ["content.png"] * 4))
    ]
    assert found == [(Finished, 0), (Finished, 1), (Died, 2), (Died, 3)]
    with pytest.raises(EngineLostError):
        engine.take()


class Gate:
    """While it is closed, the images of a store cannot be read."""

    def __init__(self) -> None:
        self.closed = True

    def __call__(self, verb: str, key: str) -> None:
        if self.closed and verb == "read":
            raise UnavailableError("memory: out of reach")


def in_memory(name: str, submitted: Sequence[Task]) -> tuple[MemoryStore, list[Task]]:
    """A store with the images of tasks, and tasks that read them there."""
    store = MemoryStore(name)
    for task in submitted:
        for image in (task.pair.content, "style.png"):
            store.write(image, (Path(task.base) / image).read_bytes())
    return store, [
        replace(task, number=50 + task.number, manifest="away", base=store.url) for task in submitted
    ]


def test_images_that_are_unavailable_hold_up_no_other_task(
    start: Start, stylizer: Stylizer, listener: RecordingListener, folder: Path
) -> None:
    listed = tasks(folder, ["content.png"] * 5)
    store, away = in_memory("away", listed)
    store.before = gate = Gate()
    engine = start(stylizer)
    for task in away:
        engine.submit(task)
    listener.wait_for(StoreUnavailable)
    assert len(outcomes(engine, listed)) == 5
    assert engine.wanted() > 0
    gate.closed = False
    found = [engine.take() for _ in away]
    assert all(isinstance(outcome, Finished) and outcome.task.manifest == "away" for outcome in found)
