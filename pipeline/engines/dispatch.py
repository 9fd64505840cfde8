"""Which of several workers gets which task."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from pipeline.engines.base import Task


class Place(Protocol):
    """A worker: what can take tasks."""

    tasks: dict[int, Task]  # that it has, by their numbers
    last: object  # the likeness of the task that it has got last

    @property
    def batch(self) -> int:
        """How many pairs of one shape it computes at once."""

    @property
    def free(self) -> int:
        """How many more tasks it can take now."""

    @property
    def idle(self) -> bool:
        """Whether it works and has no task."""

    def send(self, task: Task) -> None:
        """Give it a task."""

    def flush(self) -> None:
        """No more tasks come for now: it computes what it has."""


def likeness(task: Task) -> object:
    """A value that is equal for tasks whose pairs have one shape, as far as known without the images."""
    return task.base, task.pair.content, task.pair.parameters.model_copy(update={"seed": 0})


def dispatch(waiting: Sequence[Task], workers: Sequence[Place]) -> list[Task]:
    """Send tasks to the workers that can take them; returns the tasks that are left.

    A task that must be alone gets a worker that has no other task. As many workers as there are such tasks
    get no other ones until then.
    """
    left = sorted(waiting, key=lambda task: task.rank)
    alone = [task for task in left if task.alone]
    kept = sorted(workers, key=lambda worker: len(worker.tasks))[: len(alone)]
    for task, worker in zip(alone, kept, strict=False):
        if worker.idle:
            worker.send(task)
            left.remove(task)
        else:
            worker.flush()  # or a batch of it that is not full would wait for more tasks
    others = [worker for worker in workers if worker not in kept]
    for task in [task for task in left if not task.alone]:
        free = [worker for worker in others if worker.free]
        if not free:
            break
        like = likeness(task)
        best = max(free, key=partial(_fitness, like=like))
        best.send(task)
        best.last = like
        left.remove(task)
    return left


def _fitness(worker: Place, like: object) -> tuple[int, bool, int]:
    """The worker with the most batches to fill comes first, then one whose last task was like this one."""
    return worker.free // worker.batch, worker.last == like, worker.free
