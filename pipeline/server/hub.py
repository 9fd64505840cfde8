"""A listener for the door: it keeps the last events, and wakes the requests that wait for one."""

import asyncio
import json
import math
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from itertools import chain, takewhile
from typing import Any
from uuid import uuid4

from nst.result import Evaluation
from pipeline.errors import Problem
from pipeline.events.listener import (
    Evaluated,
    Event,
    Failed,
    ManifestEnded,
    ManifestLeft,
    ManifestStarted,
    PairDone,
    WatchBegan,
)
from pipeline.events.log import line_of
from pipeline.outbox.record import Record

_KEPT, _KEPT_PROGRESS = 4096, 1024  # events, and those about the progress of pairs
_PROGRESS = "pair progress"
_EVALUATIONS = 0.5  # seconds between two events about evaluations of one pair


class Alarm:
    """Wakes one coroutine, from any thread. Make it in a coroutine."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()

    def ring(self) -> None:
        """Wake the coroutine, now or when it waits next."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._event.set)

    async def wait(self, seconds: float) -> bool:
        """Wait until somebody rings, for so many seconds at most; whether somebody has."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        rung = self._event.is_set()
        self._event.clear()
        return rung


@dataclass(frozen=True)
class Said:
    """An event as it is sent: `number` grows by 1 with every event, `manifest` is empty for none."""

    number: int
    manifest: str
    name: str
    text: str  # JSON


@dataclass
class Counts:
    """How far the work on a manifest has come in this process."""

    pairs: int
    done: int = 0
    running: dict[str, Evaluation] = field(default_factory=dict)  # the last evaluation of each pair
    problems: dict[str, Problem] = field(default_factory=dict)  # of pairs that have failed

    @property
    def failed(self) -> int:
        return len(self.problems)


@dataclass(frozen=True)
class Outcome:
    """A request for one picture has ended: with a record, or with problems."""

    record: Record | None = None
    problems: Sequence[Problem] = ()


@dataclass
class Followed:
    """What has become of a request for one picture since somebody follows it."""

    alarm: Alarm  # rings as soon as there is an outcome
    problems: list[Problem] = field(default_factory=list)
    outcome: Outcome | None = None


class Hub:
    """Hears what happens in this process. All methods may be called from any thread."""

    def __init__(self) -> None:
        self.begin = uuid4().hex[:8]  # differs for every process, so that numbers of others are recognised
        self.ready = False  # the engine has started
        self._lock = threading.Lock()
        # In two parts, as there is so much about progress that nothing else would be kept for long.
        self._said, self._progress = deque[Said](maxlen=_KEPT), deque[Said](maxlen=_KEPT_PROGRESS)
        self._number = 0  # of the last event
        self._lost = 0  # of the last one that is not in `_said` any more
        self._followed: dict[str, list[Followed]] = {}
        self._alarms: set[Alarm] = set()  # of those who want every event
        self._counts: dict[str, Counts] = {}
        self._evaluated: dict[tuple[str, str], float] = {}  # when an evaluation of a pair was kept last

    def hear(self, event: Event) -> None:
        with self._lock:
            self._count(event)
            if found := self._described(event):
                self._keep(*found)
            if isinstance(event, PairDone | Failed | ManifestEnded):
                self._note(event)

    def close(self) -> None:
        self.ring()

    def ring(self) -> None:
        """Wake everybody who waits."""
        with self._lock:
            followed = [each.alarm for some in self._followed.values() for each in some]
            for alarm in [*followed, *self._alarms]:
                alarm.ring()

    @contextmanager
    def following(self, manifest: str) -> Iterator[Followed]:
        """What becomes of the request with this manifest, while the block runs. Use it in a coroutine."""
        followed = Followed(Alarm())
        with self._lock:
            self._followed.setdefault(manifest, []).append(followed)
        try:
            yield followed
        finally:
            with self._lock:
                self._followed[manifest].remove(followed)
                if not self._followed[manifest]:
                    del self._followed[manifest]

    @contextmanager
    def listening(self) -> Iterator[Alarm]:
        """An alarm that rings at every event, while the block runs. Use it in a coroutine."""
        alarm = Alarm()
        with self._lock:
            self._alarms.add(alarm)
        try:
            yield alarm
        finally:
            with self._lock:
                self._alarms.discard(alarm)

    def since(self, number: int) -> tuple[list[Said], bool]:
        """The events that are kept with a number above this one, and whether some of these were dropped.

        Dropped events about the progress of pairs do not count.
        """
        with self._lock:
            newest = (
                takewhile(lambda said: said.number > number, reversed(kept))
                for kept in (self._said, self._progress)
            )
            found = sorted(chain.from_iterable(newest), key=lambda said: said.number)
            return found, self._lost > number

    @property
    def last(self) -> int:
        """The number of the last event."""
        return self._number

    def counts(self, manifest: str) -> Counts | None:
        """How far the work on a manifest has come; none if this process does not work on it."""
        with self._lock:
            counts = self._counts.get(manifest)
            return _copied(counts) if counts else None

    def opened(self) -> dict[str, Counts]:
        """How far the work on each manifest has come that this process works on."""
        with self._lock:
            return {name: _copied(counts) for name, counts in self._counts.items()}

    def say(self, manifest: str, name: str, details: dict[str, Any]) -> None:
        """Keep an event that no listener hears, and wake those who want every event."""
        with self._lock:
            self._keep(manifest, name, details)

    def _count(self, event: Event) -> None:
        match event:
            case ManifestStarted(manifest, pairs):
                self._counts[manifest] = Counts(pairs)
            case Evaluated(manifest, pair, evaluation) if manifest in self._counts:
                self._counts[manifest].running[pair] = evaluation
            case PairDone(manifest, record):
                self._evaluated.pop((manifest, record.id), None)
                if counts := self._counts.get(manifest):
                    counts.done += 1
                    counts.running.pop(record.id, None)
            case Failed(manifest, problem) if problem.id and manifest in self._counts:
                counts = self._counts[manifest]
                counts.running.pop(problem.id, None)
                counts.problems[problem.id] = problem
            case ManifestEnded(manifest) | ManifestLeft(manifest):
                self._counts.pop(manifest, None)
                self._evaluated = {key: at for key, at in self._evaluated.items() if key[0] != manifest}
            case WatchBegan():
                self.ready = True

    def _described(self, event: Event) -> tuple[str, str, dict[str, Any]] | None:
        """Manifest, name and details of an event that is kept."""
        if isinstance(event, Evaluated) and event.evaluation.step > 1:
            key, now = (event.manifest, event.pair), time.monotonic()
            if now < self._evaluated.get(key, -math.inf) + _EVALUATIONS:
                return None
            self._evaluated[key] = now
            done = {"step": event.evaluation.step, "steps": event.evaluation.steps}
            losses = asdict(event.evaluation.losses)
            return event.manifest, _PROGRESS, {"manifest": key[0], "pair": key[1], **done, **losses}
        line = line_of(event)
        if line is None:
            return None
        name, level, details = line
        return getattr(event, "manifest", ""), name, {"level": level, **details}

    def _keep(self, manifest: str, name: str, details: dict[str, Any]) -> None:
        self._number += 1
        finite = {key: None if value != value or value in (math.inf, -math.inf) else value
                  for key, value in details.items()}  # fmt: skip
        text = json.dumps({"event": name, **finite})
        kept = self._progress if name == _PROGRESS else self._said
        if kept is self._said and len(kept) == _KEPT:
            self._lost = kept[0].number
        kept.append(Said(self._number, manifest, name, text))
        for alarm in self._alarms:
            alarm.ring()

    def _note(self, event: PairDone | Failed | ManifestEnded) -> None:
        for followed in self._followed.get(event.manifest, []):
            match event:
                case PairDone(_, record):
                    followed.outcome = Outcome(record)
                case Failed(_, problem):
                    followed.problems.append(problem)
                case ManifestEnded() if followed.problems and not followed.outcome:
                    followed.outcome = Outcome(problems=followed.problems)
            if followed.outcome:
                followed.alarm.ring()


def _copied(counts: Counts) -> Counts:
    """The counts as they are now. The hub changes its own ones."""
    return replace(counts, running=dict(counts.running), problems=dict(counts.problems))
