"""One actor, as its owner sees it."""

import time
from collections.abc import Collection, Sequence
from typing import Any, Literal

import ray
from ray import ObjectRef
from ray.exceptions import RayError

from pipeline.engines.base import Outcome, Task
from pipeline.engines.mailbox import Needs, Report
from pipeline.engines.ray_actor import Make
from pipeline.events.listener import BatchBegan, BatchEnded, Evaluated, Event, Note
from pipeline.settings import Settings
from pipeline.timing import Timing

# It waits for its place; its engine starts; it works; it does not answer, and may be dead; it is dead.
Stage = Literal["waiting", "beginning", "working", "doubtful", "dead"]


class Worker:
    """An actor, the call that it has to answer next, and the tasks that it has."""

    def __init__(self, actor: Any, name: str) -> None:
        self.actor, self.name = actor, name
        self.stage: Stage = "waiting"
        self.node = self.machine = ""
        self.able = False  # its engine has started
        self.error: RayError | None = None  # by which it died
        self.judge_at = 0.0  # by the clock, when it is decided what has caused its death
        self.tasks: dict[int, Task] = {}
        self.needs, self.ended = Needs(), False
        self.silent = 0.0  # seconds without progress, while there should be some
        self.last: object = None  # the likeness of the last task that was sent; see `likeness`
        self.answer: ObjectRef[Any] = actor.hello.remote()
        self.calls: set[ObjectRef[Any]] = set()  # that have not ended; their results mean nothing
        self._sent, self._flushed, self._watched = 0, False, 0.0
        self._open = 0  # batches that have begun and have not ended

    @property
    def batch(self) -> int:
        """How many pairs of one shape it computes at once."""
        return self.needs.batch

    @property
    def free(self) -> int:
        """How many more tasks it can take now."""
        alone = any(task.alone for task in self.tasks.values())
        if self.stage != "working" or self.ended or alone:
            return 0
        return max(0, self.needs.wanted - (self._sent - self.needs.received))

    @property
    def idle(self) -> bool:
        """Whether it works and has no task."""
        return self.stage == "working" and not self.ended and not self.tasks

    @property
    def busy(self) -> bool:
        """Whether there should be progress: its engine starts, or it works and has all tasks that it gets.

        With fewer, it may wait for others to share a batch.
        """
        complete = bool(self.tasks) and (self._flushed or not self.free)
        return self.stage == "beginning" or (self.stage == "working" and not self.ended and complete)

    def waits(self, reports: bool) -> bool:
        """Whether its next answer is to be received now; reports are only with `reports`."""
        return self.stage != "working" or (reports and not self.ended)

    def begin(
        self, make: Make, settings: Settings, timing: Timing, places: Sequence[str], hello: dict[str, str]
    ) -> None:
        """Start its engine, on the machine that `hello` names."""
        self.stage, self.node, self.machine = "beginning", hello["node"], hello["machine"]
        self.answer = self._control("begin").remote(make, settings, timing, places)

    def ask(self) -> None:
        """Ask for its next report."""
        self.stage, self.able = "working", True
        self.answer = self.actor.report.options(concurrency_group="report").remote()

    def doubt(self) -> None:
        """Ask whether it is alive."""
        self.stage = "doubtful"
        self.answer = self.actor.hello.remote()

    def die(self, error: RayError, judge_at: float) -> None:
        """It is dead. What has caused this is decided at the time `judge_at`."""
        self.stage, self.error, self.judge_at = "dead", error, judge_at

    def send(self, task: Task) -> None:
        """Give it a task."""
        self.tasks[task.number] = task
        self._sent += 1
        self._flushed = False
        self._call("submit", task)

    def flush(self) -> None:
        """Say once that no more tasks come for now."""
        if self.tasks and not self._flushed:
            self._flushed = True
            self._call("flush")

    def cancel(self, manifest: str) -> None:
        """Let it forget the tasks of a manifest."""
        kept = {number: task for number, task in self.tasks.items() if task.manifest != manifest}
        if len(kept) < len(self.tasks):
            self.tasks = kept
            self._call("cancel", manifest)

    def pass_time(self, seconds: float) -> None:
        """So many seconds have passed, and all that it has answered until now was received."""
        self.silent = self.silent + seconds if self.busy else 0.0

    def watch(self, pairs: Collection[tuple[str, str]], seconds: float) -> None:
        """Let it make previews of those of these pairs that it has. It forgets this after so many seconds."""
        ours = [pair for pair in pairs if self._has(*pair)]
        if ours and time.monotonic() > self._watched:
            self._watched = time.monotonic() + seconds / 2
            self._call("watch", ours)

    def received(self, event: Event) -> Event | None:
        """An event of it as the owner reports it; none if its pair was cancelled."""
        match event:
            case BatchBegan(pairs):
                self._open += 1
                return BatchBegan(pairs, self.name)
            case BatchEnded():
                self._open -= 1
                return BatchEnded(self.name)
            case Evaluated(manifest, pair) if not self._has(manifest, pair):
                return None
            case Note(message, level, details):
                return Note(message, level, {**details, "node": self.machine})
        return event

    def take(self, report: Report) -> list[Outcome]:
        """Note what a report says of it; the outcomes of those of its tasks that were not cancelled."""
        self.needs, self.ended = report.needs, report.ended
        if report.events or report.outcomes:  # what it needs may change although it computes nothing
            self.silent = 0.0
        return [each for each in report.outcomes if self.tasks.pop(each.task.number, None)]

    def open_batches(self) -> list[Event]:
        """The events that end the batches that it has begun."""
        return [BatchEnded(self.name)] * self._open

    def stop(self) -> None:
        """Let it end its work as soon as possible."""
        if self.stage == "working":
            self._call("stop")

    def kill(self) -> None:
        """End its process now."""
        ray.kill(self.actor)

    def _has(self, manifest: str, pair: str) -> bool:
        return any((task.manifest, task.pair.id) == (manifest, pair) for task in self.tasks.values())

    def _call(self, method: str, *arguments: object) -> None:
        self.calls.add(self._control(method).remote(*arguments))

    def _control(self, method: str) -> Any:
        return getattr(self.actor, method).options(concurrency_group="control")
