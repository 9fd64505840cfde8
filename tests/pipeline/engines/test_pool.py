"""Which tasks are prepared first, and which pairs share a batch."""

from dataclasses import replace
from pathlib import Path

from pipeline.engines.pool import Pool
from pipeline.engines.prepare import Preparer
from pipeline.stores.opening import Stores
from tests.pipeline.engines.test_local import tasks


def test_another_try_with_unavailable_images_goes_after_all_others(folder: Path) -> None:
    first, second = tasks(folder, ["content.png"] * 2)
    pool = Pool(lambda pair: 1)
    pool.add(first)
    entry = pool.begin()
    assert entry
    entry.tries, entry.begun = 1, False  # its images were unavailable, and may be there now
    pool.add(second)
    begun = [pool.begin(), pool.begin()]
    assert [each and each.task for each in begun] == [second, first]


def test_a_pair_that_needs_more_room_than_its_leader_makes_the_batch_smaller(folder: Path) -> None:
    """Capacity says how many pairs go together if all are like this one."""
    pool, preparer = Pool(lambda pair: 2 if pair.parameters.style_scale == 1 else 1), Preparer("")
    for task, scale in zip(tasks(folder, ["content.png"] * 2), (1.0, 1.5), strict=True):
        parameters = task.pair.parameters.model_copy(update={"style_scale": scale})
        pool.add(replace(task, pair=task.pair.model_copy(update={"parameters": parameters})))
        entry = pool.begin()
        assert entry
        pair = entry.task.pair
        entry.prepared = preparer.prepare(pair, preparer.read(pair, Stores().sources(task.base)))
    pool.complete = True
    assert [[entry.task.number for entry in pool.take()] for _ in range(2)] == [[0], [1]]
