"""Whose turn it is: the order in which open manifests give pairs."""

from collections import deque

from pipeline.work.job import Job

MOST_OPEN = 8  # manifests of one priority that may give pairs at the same time


class Turns:
    """Round robin between the open jobs of the highest priority.

    A turn is as many pairs as the engine computes at once, so that its batches are full. A manifest that is
    not open yet gets its first turn soon, but only every second turn is a first one: many small manifests do
    not stop a large one.
    """

    def __init__(self) -> None:
        self._current: Job | None = None  # it has the turn
        self._left = 0  # pairs that it may still give in this turn
        self._first = False  # this turn, or the last one, was the first turn of its job
        self._others: deque[Job] = deque()  # the next one is at the left

    def admits(self, priority: int) -> bool:
        """Whether the next pair should come from a manifest of this priority that is not open yet."""
        jobs = self._best()
        if not jobs or priority > jobs[0].priority:
            return True
        turn_over = self._left == 0 and not self._first
        return priority == jobs[0].priority and turn_over and len(jobs) < MOST_OPEN

    def open(self, job: Job, length: int) -> None:
        """Add a job and begin its first turn, of so many pairs."""
        self._requeue()
        self._current, self._left, self._first = job, length, True

    def next(self, length: int) -> Job | None:
        """The job that gives the next pair; none if none has one. A turn that begins has so many pairs."""
        jobs = self._best()
        if not jobs:
            return None
        if self._current not in jobs or self._left == 0:
            self._requeue()
            self._current = next(job for job in self._others if job in jobs)
            self._others.remove(self._current)
            self._left, self._first = length, False
        self._left -= 1
        return self._current

    def close_all(self) -> list[Job]:
        """Remove all jobs; those that still have pairs."""
        self._requeue()
        jobs, self._left = [job for job in self._others if _has_pairs(job)], 0
        self._others.clear()
        return jobs

    def _requeue(self) -> None:
        if self._current:
            self._others.append(self._current)
        self._current = None

    def _best(self) -> list[Job]:
        """The jobs of the highest priority among those that still have pairs."""
        if self._current and not _has_pairs(self._current):
            self._current, self._left = None, 0
        self._others = deque(job for job in self._others if _has_pairs(job))
        jobs = [*([self._current] if self._current else []), *self._others]
        top = max((job.priority for job in jobs), default=0)
        return [job for job in jobs if job.priority == top]


def _has_pairs(job: Job) -> bool:
    return not job.ended and not job.exhausted
