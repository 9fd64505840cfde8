import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
import torch

from nst import Evaluation, PreparedPair, Result, Stylizer
from pipeline.events.log import JsonLines
from pipeline.inbox.inbox import ClaimedManifest
from pipeline.outbox.outbox import Outbox
from pipeline.runner import Runner
from pipeline.stores.folder import FolderStore
from pipeline.work.job import Job, job_of_file
from tests.conftest import make_picture


class Roomy:
    """A stylizer that takes four pairs at once, until `fits` says that they are too many."""

    def __init__(self, stylizer: Stylizer, fits: Callable[[Sequence[PreparedPair]], bool]) -> None:
        self.weights, self.device, self.dtype = stylizer.weights, stylizer.device, stylizer.dtype
        self._stylizer, self._fits = stylizer, fits
        self.batches: list[int] = []
        self.refusal: Exception = torch.OutOfMemoryError()

    def capacity(self, pair: PreparedPair) -> int:
        return 4

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Callable[[int, Evaluation], None]
    ) -> list[Result]:
        self.batches.append(len(pairs))
        assert len({pair.group for pair in pairs}) == 1
        if not self._fits(pairs):
            raise self.refusal
        return self._stylizer.run(pairs, on_evaluation)


@pytest.fixture
def job(folder: Path) -> Job:
    make_picture(48, 48, seed=3).save(folder / "square.png")
    contents = ["content.png"] * 6 + ["square.png"]
    pairs = [
        {"id": f"{n}", "content": content, "style": "style.png", "seed": n}
        for n, content in enumerate(contents)
    ]
    document = {"defaults": {"epochs": 1, "max_size": 48}, "pairs": pairs}
    (folder / "m.json").write_text(json.dumps(document))
    return job_of_file(folder / "m.json", [], None)


def work(stylizer: Roomy, job: Job, folder: Path) -> Runner:
    store = FolderStore.make(folder / "outbox")
    runner = Runner(cast(Stylizer, stylizer), Outbox(store), JsonLines(sys.stdout), threading.Event())
    runner.run([job])
    return runner


class Held:
    """A claim that is given up only together with others."""

    def __init__(self, together: threading.Barrier) -> None:
        self._together, self.released = together, False

    def release(self) -> None:
        self._together.wait(60)
        self.released = True


def test_manifests_are_handed_back_together_and_whoever_asks_again_waits(
    stylizer: Stylizer, job: Job, folder: Path
) -> None:
    runner = work(Roomy(stylizer, lambda pairs: True), job, folder)
    together = threading.Barrier(9)  # eight manifests, and we
    claims = [Held(together) for _ in range(8)]
    runner._open = {Job(f"{n}", [], job.sources, cast(ClaimedManifest, c)) for n, c in enumerate(claims)}
    first, second = (threading.Thread(target=runner.hand_back) for _ in range(2))
    first.start()
    while together.n_waiting < 8:
        assert first.is_alive() and not together.broken
    second.start()
    second.join(0.1)
    assert second.is_alive()
    together.wait(60)
    first.join()
    second.join()
    assert all(claim.released for claim in claims)


def test_pairs_of_one_shape_go_together(stylizer: Stylizer, job: Job, folder: Path) -> None:
    roomy = Roomy(stylizer, lambda pairs: True)
    assert work(roomy, job, folder).problems == 0
    assert sum(roomy.batches) == 7
    assert 1 < max(roomy.batches) <= 4
    assert len(list((folder / "outbox" / "m").glob("*.png"))) == 7


def test_a_batch_that_is_too_large_is_halved(stylizer: Stylizer, job: Job, folder: Path) -> None:
    roomy = Roomy(stylizer, lambda pairs: len(pairs) == 1)
    assert work(roomy, job, folder).problems == 0
    assert len(list((folder / "outbox" / "m").glob("*.png"))) == 7


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
def test_a_pair_that_never_fits_fails_alone(
    refusal: Exception, stylizer: Stylizer, job: Job, folder: Path
) -> None:
    roomy = Roomy(stylizer, lambda pairs: all(pair.parameters.seed != 2 for pair in pairs))
    roomy.refusal = refusal
    assert work(roomy, job, folder).problems == 1
    (problem,) = job.problems
    assert (problem.place, problem.id) == ("pairs[2]", "2")
    assert "too large for the memory at hand; lower max_size from 48" in problem.message
    assert len(list((folder / "outbox" / "m").glob("*.png"))) == 6
