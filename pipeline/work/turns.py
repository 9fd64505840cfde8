"""Whose turn it is: the order in which open manifests give pairs."""

from collections import deque

from pipeline.work.job import Job

MOST_OPEN = 8  # manifests of one priority that may have pairs left at the same time


class Turns:
    """Round robin between the open jobs of the highest priority.

    A turn is as many pairs as the engine computes at once, so that its batches are full. Every second turn
    goes to manifests that are not open yet: one begins, and if it has fewer pairs than a turn, the next ones
    share the turn. Thus any number of small manifests does not stop a large one, and it does not stop them.
    """

    def __init__(self) -> None:
        self._current: Job | None = None  # it has the turn
        self._left = 0  # pairs that are left of this turn
        self._first = False  # this turn, or the last one, belongs to manifests that begin
        self._others: deque[Job] = deque()  # the next one is at the left

    @property
    def first(self) -> bool:
        """Whether the pair that was given last belongs to a first turn."""
        return self._first

    def admits(self, priority: int) -> bool:
        """Whether the next pair should come from a manifest of this priority that is not open yet."""
        jobs = self._best()
        if not jobs or priority > jobs[0].priority:
            return True
        over = self._left == 0 and not self._first
        shared = self._left > 0 and self._first and self._current is None
        return priority == jobs[0].priority and (over or shared) and len(jobs) < MOST_OPEN

    def open(self, job: Job, length: int) -> None:
        """Add a job and give it the turn: what is left of a first turn, or a new one of so many pairs."""
        if not (self._first and self._left and self._current is None):
            self._left = length
        self._requeue()
        self._current, self._first = job, True

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
        jobs, self._left = [job for job in self._others if job.has_pairs], 0
        self._others.clear()
        return jobs

    def _requeue(self) -> None:
        if self._current:
            self._others.append(self._current)
        self._current = None

    def _best(self) -> list[Job]:
        """The jobs of the highest priority among those that still have pairs."""
        if self._current and not self._current.has_pairs:
            self._current = None
            if not self._first:
                self._left = 0
        self._others = deque(job for job in self._others if job.has_pairs)
        jobs = [*([self._current] if self._current else []), *self._others]
        top = max((job.priority for job in jobs), default=0)
        return [job for job in jobs if job.priority == top]
