"""The workers of a Ray cluster: how they come, and why one can't work."""

import itertools
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from threading import Event
from typing import Any

from ray import ObjectRef
from ray.exceptions import RayError

import nst
from pipeline.engines.ray_actor import Make
from pipeline.engines.ray_cluster import Cluster
from pipeline.engines.ray_worker import Worker
from pipeline.events.listener import Listener, Note
from pipeline.settings import Settings
from pipeline.timing import Timing


class Staff:
    """Starts workers: as many as the cluster has places for, and a spare one while more could be of use.

    The spare one waits for a place. It takes that of one that has died, and shows the autoscaler of Ray that
    another machine is wanted.
    """

    def __init__(
        self,
        cluster: Cluster,
        make: Make,
        settings: Settings,
        timing: Timing,
        places: Sequence[str],
        listener: Listener,
    ) -> None:
        """See `Actor.begin` for `make` and `places`."""
        self._cluster, self._listener, self._timing = cluster, listener, timing
        self._begin = make, settings.model_copy(update={"device": cluster.device}), timing, places
        self.workers: list[Worker] = []
        self.decided = Event()  # one works, or none can
        self.refusal = ""  # why none can work; empty if one does
        self._removed: list[Worker] = []  # whose processes have to be ended
        self._names = itertools.count(1)
        self._next_start = 0.0  # by the clock; later, after one was refused
        self._wanted = 0.0  # by the clock, when more workers could last have been of use
        self._refused: list[str] = []  # why workers can't work, before one does
        self._refused_first = 0.0  # by the clock
        self._warned: set[str] = set()
        self._missing_since, self._missing_reported = time.monotonic(), 0.0
        self._looked = time.monotonic()  # for workers that are silent

    @property
    def working(self) -> list[Worker]:
        """The workers that can have tasks."""
        return [worker for worker in self.workers if worker.stage == "working" and not worker.ended]

    @property
    def free(self) -> int:
        """How many more tasks they can take now."""
        return sum(worker.free for worker in self.working)

    def top_up(self, tasks_wait: bool) -> None:
        """Start workers where some are missing, and do without those that wait and are not needed.

        Reports if none has found a place for a while. `tasks_wait` is whether tasks wait for a worker.
        """
        now = time.monotonic()
        if tasks_wait or not self.free:
            self._wanted = now
        if now >= self._next_start:
            waiting = [worker for worker in self.workers if worker.stage == "waiting"]
            placed = len(self.workers) - len(waiting)
            spare = now <= self._wanted + self._timing.ray_spare
            most = max(self._cluster.places, placed + 1) if spare else placed
            for worker in waiting[most - placed :]:
                self.remove(worker)
            for _ in range(len(self.workers), most):
                self.workers.append(Worker(self._cluster.actor(), f"{next(self._names)}"))
        self._report_lack(now)
        if self._refused and not self.decided.is_set():
            self._give_up(now)

    def welcome(self, worker: Worker, hello: dict[str, str]) -> None:
        """A worker has found a place: start its engine."""
        if hello["version"] == nst.__version__:
            worker.begin(*self._begin, hello)
            return
        worker.machine = hello["machine"]
        versions = f"it has nst-pipeline {hello['version']}, and this machine has {nst.__version__}"
        self.refuse(worker, f"{versions}; install the same version there")

    def began(self, worker: Worker, refusal: str) -> None:
        """The engine of a worker has started, or can't work for this reason."""
        if refusal:
            self.refuse(worker, refusal)
        else:
            worker.ask()
            self.decided.set()

    def refuse(self, worker: Worker, reason: str) -> None:
        """A worker can't work. No other one is started for a while, because it might get the same place."""
        self.remove(worker)
        now = time.monotonic()
        self._next_start = now + self._timing.ray_refused
        message = f"{worker.machine or 'a machine'} of the Ray cluster can't work: {reason}"
        if not self.decided.is_set():
            self._refused_first = self._refused_first or now
            self._refused.append(message)
        elif message not in self._warned:
            self._warned.add(message)
            self._listener.hear(Note(message, "warning"))

    def remove(self, worker: Worker) -> None:
        """Do without a worker. Another one may take its place."""
        self.workers.remove(worker)
        for event in worker.open_batches():
            self._listener.hear(event)
        self._removed.append(worker)
        self._next_start = 0.0

    def end_removed(self) -> None:
        """End the processes of the workers that were removed. The head node may not answer for a while."""
        while self._removed:
            with suppress(Exception):  # it may be dead
                self._removed.pop().kill()

    def calls(self, reports: bool) -> dict[ObjectRef[Any], Worker]:
        """The calls that may end, with their workers; without `reports`, reports wait at the actors."""
        return {
            call: worker
            for worker in self.workers
            if worker.stage != "dead"
            # The report first: what a process has finished before it died counts.
            for call in (*([worker.answer] if worker.waits(reports) else []), *worker.calls)
        }

    def silent(self, counts: bool) -> list[Worker]:
        """The workers that have tasks and hang. Those whose engine does not start are refused here.

        Call it after what the workers have answered was received. The time since the last call counts only
        with `counts`, and only if this process was not suspended meanwhile.
        """
        now = time.monotonic()
        passed, self._looked = now - self._looked, now
        for worker in self.workers:
            worker.pass_time(passed if counts and passed < self._timing.asleep else 0.0)
        hanging = [worker for worker in self.workers if worker.silent > self._timing.ray_stuck]
        for worker in [each for each in hanging if not each.able]:
            self.refuse(worker, f"its engine has not started for {self._timing.ray_stuck / 60:.0f} minutes")
        return [worker for worker in hanging if worker.able]

    def watch(self, pairs: Collection[tuple[str, str]]) -> None:
        """Let workers make previews of those of these pairs that they have."""
        for worker in self.working:
            worker.watch(pairs, self._timing.watched)

    def to_judge(self) -> list[tuple[Worker, RayError]]:
        """The dead workers whose cause of death can be decided now, with the errors by which they died."""
        now = time.monotonic()
        return [(each, each.error) for each in self.workers if each.error and now > each.judge_at]

    def _give_up(self, now: float) -> None:
        """Let the start of the engine fail if no worker can work, or if none does after a while."""
        beginning = any(worker.stage == "beginning" for worker in self.workers)
        late = now - self._refused_first > self._timing.ray_first
        if not beginning and (late or len(self._refused) >= max(1, self._cluster.places)):
            self.refusal = self._refused[0]
            self.decided.set()

    def _report_lack(self, now: float) -> None:
        """Report that there is no place for any worker: after a minute, and then seldom."""
        if any(worker.stage != "waiting" for worker in self.workers) or not self.workers:
            self._missing_since, self._missing_reported = now, 0.0
            return
        since = now - (self._missing_reported or self._missing_since)
        if since > (self._timing.ray_still if self._missing_reported else self._timing.ray_missing):
            self._missing_reported = now
            self._listener.hear(Note(self._cluster.lack(), "warning"))
