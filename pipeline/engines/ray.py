"""The engine of several machines: an actor of Ray on each GPU, which has an engine of its machine.

Ray starts processes and moves tasks and pictures. It never repeats a task: it does not know which of the
tasks of a process has killed it. What this module does instead:

* A process that dies gives `Died` for each task that it had; the owner then sends each of them alone.
* Tasks of a machine that was taken away, as spot instances are, are sent again as if nothing had happened.
* While there is more work than the actors can take, one more waits for a place: that of one that has died, or
  one on a machine that comes later.
"""

import threading
import time
from collections.abc import Callable
from typing import Any

import ray
from ray import ObjectRef
from ray.exceptions import RayError

from pipeline.engines.base import Died, Outcome, Task
from pipeline.engines.dispatch import dispatch
from pipeline.engines.mailbox import Report
from pipeline.engines.outcomes import Outcomes
from pipeline.engines.ray_actor import Make
from pipeline.engines.ray_cluster import Cluster
from pipeline.engines.ray_errors import cause, meaning, reason
from pipeline.engines.ray_staff import Staff
from pipeline.engines.ray_worker import Worker
from pipeline.errors import EngineLostError, UsageError
from pipeline.events.listener import Listener, Note
from pipeline.events.previews import Previews
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing

_TICK = 0.2  # seconds between two checks of what no answer announces
_UNCLEAR = 5  # so many errors in a row that say nothing about an actor: the cluster is of no use


class RayEngine:
    """Computes on all GPUs of a Ray cluster, or on its CPUs."""

    begun = 1  # the pairs are in other processes, whose deaths are told apart

    def __init__(self, settings: Settings, stores: Stores, timing: Timing, make: Make) -> None:
        """Each actor calls `make` for its own engine."""
        self._settings, self._stores, self._timing, self._make = settings, stores, timing, make
        self._outcomes = Outcomes()
        self._lock = threading.RLock()  # guards the tasks that wait, and the workers
        self._waiting: list[Task] = []
        self._complete = False  # no more tasks come for now
        self._stop_by: float | None = None  # by the clock, once the engine is to stop
        self._unclear = 0  # errors since the last report of an actor
        self._cluster: Cluster | None = None
        self._thread: threading.Thread | None = None

    def start(self, listener: Listener, on_change: Callable[[], None], previews: Previews) -> None:
        self._listener, self._on_change, self._previews = listener, on_change, previews
        self._cluster = cluster = Cluster(self._settings, listener)
        places = self._stores.image_places
        self._staff = Staff(cluster, self._make, self._settings, self._timing, places, listener)
        self._thread = threading.Thread(target=self._work, args=[cluster], name="ray", daemon=True)
        self._thread.start()
        self._staff.decided.wait()
        if self._staff.refusal:
            raise UsageError(self._staff.refusal)

    @property
    def batch(self) -> int:
        with self._lock:
            return max(1, sum(worker.batch for worker in self._staff.working))

    def wanted(self) -> int:
        with self._lock:
            return 0 if self._outcomes.full else max(0, self._staff.free - len(self._waiting))

    def submit(self, task: Task) -> None:
        with self._lock:
            self._complete = False
            self._waiting.append(task)
            self._dispatch()

    def flush(self) -> None:
        with self._lock:
            self._complete = True
            self._dispatch()

    def take(self) -> Outcome | None:
        outcome = self._outcomes.take()
        self._on_change()
        return outcome

    def cancel(self, manifest: str) -> None:
        with self._lock:
            self._waiting = [task for task in self._waiting if task.manifest != manifest]
            for worker in self._staff.workers:
                worker.cancel(manifest)
        self._on_change()

    def stop(self) -> None:
        if self._stop_by is not None:
            return
        self._stop_by = time.monotonic() + self._timing.ray_last  # the thread may wait for the head node
        with self._lock:
            if self._thread is None:
                self._outcomes.put(None)
            else:
                for worker in self._staff.workers:
                    worker.stop()

    def close(self) -> None:
        self.stop()
        if self._thread:
            self._thread.join()
        if self._cluster:
            self._cluster.close()

    def _work(self, cluster: Cluster) -> None:
        """In a thread: start workers, and receive what they answer."""
        try:
            while self._stop_by is None or (self._staff.working and time.monotonic() <= self._stop_by):
                cluster.look()
                with self._lock:
                    if self._stop_by is None:
                        self._staff.top_up(tasks_wait=bool(self._waiting))
                    self._judge_dead(cluster)
                    self._staff.watch(self._previews.watched())
                self._staff.end_removed()
                with self._lock:
                    calls = self._staff.calls(reports=not self._outcomes.full)
                for call in _ended(list(calls)):
                    self._receive(calls[call], call)
                self._end_silent()
            self._outcomes.put(None)
        except Exception as error:
            self._outcomes.put(EngineLostError(f"the Ray cluster can't be used any more: {error}"))
        self._staff.decided.set()

    def _receive(self, worker: Worker, call: ObjectRef[Any]) -> None:
        answer = _answer(call)
        with self._lock:
            if worker not in self._staff.workers or worker.stage == "dead":
                return  # another call has shown that it is gone
            if isinstance(answer, RayError):
                self._fail(worker, call, answer)
            elif call in worker.calls:
                worker.calls.discard(call)
            elif worker.stage == "waiting":
                self._staff.welcome(worker, answer)
            elif worker.stage == "beginning":
                self._staff.began(worker, answer)
            elif worker.stage == "doubtful":
                self._lose(worker)  # an answer may be lost
            else:
                self._report(worker, answer)
            self._dispatch()
        self._on_change()

    def _report(self, worker: Worker, report: Report) -> None:
        self._unclear = 0
        for event in report.events:
            if heard := worker.received(event):
                self._listener.hear(heard)
        for (manifest, pair), jpeg in report.previews.items():
            self._previews.put(manifest, pair, jpeg)
        for outcome in worker.take(report):
            self._outcomes.put(outcome)
        if report.reason:
            self._listener.hear(Note(f"{worker.machine}: {report.reason}", "warning"))
            self._lose(worker)
        elif not report.ended:
            worker.ask()

    def _fail(self, worker: Worker, call: ObjectRef[Any], error: RayError) -> None:
        """A call has failed: the actor is dead, or does not answer."""
        match meaning(error):
            case _ if worker.stage == "doubtful" and call != worker.answer:
                worker.calls.discard(call)  # whether it is dead is being asked already
            case "silent" if worker.stage == "working":
                worker.doubt()
            case "silent" | "taken":
                self._lose(worker)
            case "died":
                worker.die(error, time.monotonic() + self._timing.ray_dead)
            case "failed":
                self._judge(worker, error)
            case "unclear":
                self._unclear += 1
                if self._unclear > _UNCLEAR:
                    raise error
                message = f"an answer from {worker.machine or 'an actor'} was lost ({cause(error)})"
                self._listener.hear(Note(f"{message}; its pairs are computed again", "warning"))
                self._lose(worker)

    def _judge_dead(self, cluster: Cluster) -> None:
        """Decide what has caused the deaths of processes: that of a machine is known only after a while."""
        for worker, error in self._staff.to_judge():
            if worker.node and cluster.lost(worker.node):
                self._lose(worker)
            else:
                self._judge(worker, error)
            self._dispatch()
            self._on_change()

    def _judge(self, worker: Worker, error: RayError) -> None:
        """A worker has died or failed, and its machine is there."""
        if worker.able:
            self._lose(worker, reason(worker.machine, error))
        else:
            self._staff.refuse(worker, f"its process can't start ({cause(error)})")

    def _end_silent(self) -> None:
        """Do without the workers that hang. While outcomes wait, their reports are not fetched on purpose."""
        with self._lock:
            for worker in self._staff.silent(counts=not self._outcomes.full):
                why = f"no progress for {self._timing.ray_stuck / 60:.0f} minutes"
                self._listener.hear(Note(f"{worker.machine}: {why}; its process is ended", "warning"))
                self._lose(worker, f"{why} on {worker.machine}")
                self._dispatch()
                self._on_change()

    def _lose(self, worker: Worker, death: str = "") -> None:
        """Replace a worker, and send its tasks again; if they may be the cause of its death, give `Died`."""
        self._staff.remove(worker)
        if death and self._stop_by is None:
            for task in worker.tasks.values():
                self._outcomes.put(Died(task, death))
        else:
            self._waiting += worker.tasks.values()

    def _dispatch(self) -> None:
        if self._stop_by is None:
            self._waiting = dispatch(self._waiting, self._staff.working)
            if self._complete and not self._waiting:
                for worker in self._staff.working:
                    worker.flush()


def _ended(calls: list[ObjectRef[Any]]) -> list[ObjectRef[Any]]:
    """Those of some calls that have ended, successfully or not; waits a moment for the first one."""
    if not calls:
        time.sleep(_TICK)
        return []
    ended, _ = ray.wait(calls, timeout=_TICK)
    if ended:
        ended, _ = ray.wait(calls, num_returns=len(calls), timeout=0)
    return ended


def _answer(call: ObjectRef[Any]) -> Any:
    """What a call that has ended gave, or the error of Ray by which it failed."""
    try:
        return ray.get(call)
    except RayError as error:
        return error
