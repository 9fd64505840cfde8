"""The tasks that an engine has, and those of suspects, which it gets one at a time.

See `pipeline.work.caution` for what a suspect is.
"""

import itertools
import threading
from collections import deque
from dataclasses import dataclass, replace
from functools import partial

from pipeline.engines.base import Engine, Task
from pipeline.outbox.results import Found
from pipeline.work.job import Job
from pipeline.work.settling import Settling


@dataclass(frozen=True)
class HandedOut:
    """A pair that was handed out, until it is settled."""

    job: Job
    task: Task
    earlier: Found  # what the outbox has of this pair

    @property
    def single(self) -> bool:
        """Whether nothing else may be computed at the same time."""
        return self.task.alone and self.job.caution is not None


class Tasks:
    """Sends tasks to an engine, and remembers them until their outcome is there.

    `add_single`, `send`, `came_back` and `forget` may be called from any thread, the others from one.
    """

    def __init__(self, engine: Engine, settling: Settling) -> None:
        self._engine, self._settling = engine, settling
        self._sent: dict[int, HandedOut] = {}
        self._lock = threading.Lock()  # guards the next three
        self._singles: deque[HandedOut] = deque()  # that wait until no other pair is with the engine
        self._without_outcome: set[int] = set()  # numbers of those that the engine still has
        self._numbers = itertools.count(1)

    @property
    def blocked(self) -> bool:
        """Whether no other pair may be handed out, because of a pair that must be computed alone."""
        with self._lock:
            return bool(self._singles) or any(handed_out.single for handed_out in self._sent.values())

    @property
    def newcomers(self) -> int:
        """How many tasks of first turns the engine has."""
        with self._lock:
            return sum(self._sent[number].task.newcomer for number in self._without_outcome)

    def next_number(self) -> int:
        """A number that no other task has."""
        return next(self._numbers)

    def add(self, handed_out: HandedOut) -> None:
        """Send a task; one of a suspect is only compared with its result, or waits to be computed alone."""
        job, task = handed_out.job, handed_out.task
        caution = job.caution  # once: another thread ends it
        if caution is None:
            self.send(handed_out)
        elif problem := self._settling.wait_for(job, partial(caution.blamed, task.pair)):
            self._settling.settle(job, problem)
        elif caution.is_noted(task.pair) and not task.known:
            # Without a check, because those come back in any order: if another pair was noted first, the
            # deaths of this one would be forgotten.
            self.add_single(replace(handed_out, task=replace(task, waits=False)))
        else:
            # Its images are read first, so that a pair is noted only if it can be computed.
            self.send(replace(handed_out, task=replace(task, check_only=True, waits=False)))

    def add_single(self, handed_out: HandedOut) -> None:
        """Keep a pair back until no other pair is with the engine."""
        task = replace(handed_out.task, number=self.next_number(), alone=True, check_only=False)
        with self._lock:
            self._singles.append(replace(handed_out, task=task))

    def send_single(self) -> None:
        """Send the next pair that has to be computed alone, if no other pair is with the engine."""
        while handed_out := self._next_single():
            job = handed_out.job
            if (caution := job.caution) and not job.ended:
                self._settling.wait_for(job, partial(caution.begin, handed_out.task.pair))
            if not job.ended:
                self.send(handed_out)

    def send(self, handed_out: HandedOut) -> None:
        """Give a task to the engine."""
        with self._lock:
            self._sent[handed_out.task.number] = handed_out
            self._without_outcome.add(handed_out.task.number)
        self._engine.submit(handed_out.task)

    def came_back(self, number: int) -> HandedOut | None:
        """The task whose outcome is there; none if it was forgotten."""
        with self._lock:
            self._without_outcome.discard(number)
            return self._sent.get(number)

    def forget(self, number: int) -> None:
        """Forget a task, after everything was done with its outcome."""
        with self._lock:
            self._sent.pop(number, None)

    def forget_ended(self) -> None:
        """Forget the tasks of manifests that have ended here."""
        with self._lock:
            self._singles = deque(single for single in self._singles if not single.job.ended)
            self._sent = {n: sent for n, sent in self._sent.items() if not sent.job.ended}
            self._without_outcome &= self._sent.keys()

    def _next_single(self) -> HandedOut | None:
        with self._lock:
            return self._singles.popleft() if self._singles and not self._sent else None
