"""Which tasks are prepared first, and which pairs share a batch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.engines.pool import Pool
from pipeline.engines.prepare import Preparer
from pipeline.stores.opening import Stores
from tests.pipeline.engines.test_local import tasks


def test_one_task_at_a_time_tries_unavailable_images_again(folder: Path) -> None:
    listed = tasks(folder, ["content.png"] * 3)
    pool = Pool(lambda pair: 1)
    for task in listed[:2]:
        pool.add(task)
    for entry in [pool.begin(), pool.begin()]:  # both, before one of them is tried again
        assert entry
        entry.tries = 1  # its images were unavailable
        entry.begun = False  # it is time for another try
    pool.add(listed[2])
    first, second, none = (pool.begin() for _ in range(3))
    assert first
    assert second
    assert (first.task, second.task, none) == (listed[0], listed[2], None)
    first.again = False
    last = pool.begin()
    assert last
    assert last.task == listed[1]


@pytest.mark.parametrize(
    ("capacities", "batches"), [([2, 2, 1], [[0, 1], [2]]), ([1, 2, 2], [[0], [1, 2]]), ([3, 1], [[0], [1]])]
)
def test_pairs_share_a_batch_as_far_as_each_of_them_has_room(
    folder: Path, capacities: Sequence[int], batches: list[list[int]]
) -> None:
    """A capacity says how many pairs go together if all are like this one."""
    pool, preparer = Pool(lambda pair: capacities[pair.parameters.seed]), Preparer("")
    for task in tasks(folder, ["content.png"] * len(capacities)):
        parameters = task.pair.parameters.model_copy(update={"seed": task.number})
        pool.add(replace(task, pair=task.pair.model_copy(update={"parameters": parameters})))
        entry = pool.begin()
        assert entry
        pair = entry.task.pair
        inputs = preparer.read(pair, Stores().sources(task.base))
        pool.prepared(task.number, preparer.prepare(pair, inputs))
    pool.complete = True
    assert [[entry.task.number for entry in pool.take()] for _ in batches] == batches
