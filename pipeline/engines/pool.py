"""The tasks that wait for a device, and the rule by which they go together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from nst.pair import PreparedPair
from pipeline.engines.base import Task
from pipeline.engines.prepare import Prepared

_AHEAD = 2  # batches that wait beside the one that is computed
_DELAYED = 64  # tasks that may wait for unavailable images beside these


@dataclass
class Unprepared:
    """A task that is not prepared yet."""

    task: Task
    begun: bool = False  # a thread prepares it
    again: bool = False  # a thread tries its images again
    tries: int = 0  # to read its images, while their store is unavailable; no other task waits for it then


class Ready(NamedTuple):
    """A task that is prepared."""

    task: Task
    prepared: Prepared


class Pool:
    """Forms batches of pairs that have one shape. It is not thread-safe."""

    def __init__(self, capacity: Callable[[PreparedPair], int]) -> None:
        """`capacity` says how many pairs like this one go together."""
        self._capacity = capacity
        self._unprepared: dict[int, Unprepared] = {}
        self._ready: dict[int, Ready] = {}
        self.batch = 1  # pairs that the last batch could have had
        self.complete = False  # no more tasks come for now

    @property
    def wanted(self) -> int:
        """How many more tasks there is a use for."""
        delayed = sum(entry.tries > 0 for entry in self._unprepared.values())
        if delayed >= _DELAYED:
            return 0
        return max(0, _AHEAD * self.batch - (len(self._unprepared) + len(self._ready) - delayed))

    @property
    def several(self) -> bool:
        """Whether more than one task waits."""
        return len(self._unprepared) + len(self._ready) > 1

    def add(self, task: Task) -> None:
        """Let a task wait, which is not prepared yet."""
        self._unprepared[task.number] = Unprepared(task)
        self.complete = False

    def begin(self) -> Unprepared | None:
        """The task to prepare next; none if none is left to begin with.

        Only one thread at a time tries unavailable images again, because that may take long.
        """
        busy = any(entry.again for entry in self._unprepared.values())
        left = [e for e in self._unprepared.values() if not (e.begun or (busy and e.tries))]
        entry = min(left, key=lambda e: e.task.rank, default=None)
        if entry:
            entry.begun, entry.again = True, entry.tries > 0
        return entry

    def prepared(self, number: int, prepared: Prepared) -> None:
        """A task is prepared. Does nothing if it was cancelled."""
        if entry := self._unprepared.pop(number, None):
            self._ready[number] = Ready(entry.task, prepared)

    def remove(self, number: int) -> bool:
        """Forget a task that is not prepared; false if it was cancelled."""
        return self._unprepared.pop(number, None) is not None

    def cancel(self, manifest: str) -> None:
        """Forget all tasks of a manifest."""
        self._unprepared = {n: e for n, e in self._unprepared.items() if e.task.manifest != manifest}
        self._ready = {n: e for n, e in self._ready.items() if e.task.manifest != manifest}

    def leader(self) -> Ready | None:
        """The task that the next batch is formed around; none if none is prepared.

        None, too, while a task of a lower rank that came before it is being prepared: that one goes first.
        """
        leader = min(self._ready.values(), key=lambda entry: entry.task.rank, default=None)
        if leader and any(
            entry.task.rank < leader.task.rank and entry.task.number < leader.task.number
            for entry in self._unprepared.values()
            if not entry.tries
        ):
            return None
        return leader

    def take(self) -> list[Ready]:
        """The next batch. It is empty while none is prepared, or while more tasks may join it."""
        leader = self.leader()
        if leader is None:
            return []
        self.batch = self._capacity(leader.prepared.pair)
        batch = self._together(self._companions(leader))
        if len(batch) < self.batch and not leader.task.alone and self._may_grow():
            return []
        for entry in batch:
            del self._ready[entry.task.number]
        return batch

    def _companions(self, leader: Ready) -> list[Ready]:
        """The leader and all that can share a batch with it, in their order."""
        if leader.task.alone:
            return [leader]
        group = leader.prepared.pair.group
        fitting = [e for e in self._ready.values() if not e.task.alone and e.prepared.pair.group == group]
        return sorted(fitting, key=lambda entry: entry.task.rank)

    def _together(self, companions: list[Ready]) -> list[Ready]:
        """The first of them that go together. Pairs of one shape may have styles of different sizes."""
        batch, room = list[Ready](), self.batch
        for entry in companions[: self.batch]:
            if batch:
                room = min(room, self._capacity(entry.prepared.pair))
            if len(batch) >= room:
                self.batch = len(batch)
                break
            batch.append(entry)
        return batch

    def _may_grow(self) -> bool:
        unprepared = any(not entry.tries for entry in self._unprepared.values())
        return unprepared or (self.wanted > 0 and not self.complete)
