"""The tasks that wait for a device, and the rule by which they go together."""

from collections.abc import Callable
from dataclasses import dataclass

from nst.pair import PreparedPair
from pipeline.engines.base import Task
from pipeline.engines.prepare import Prepared

_AHEAD = 2  # batches that wait beside the one that is computed
_DELAYED = 64  # tasks that may wait for unavailable images beside these


@dataclass
class Waiting:
    """A task, and its prepared pair once that is there."""

    task: Task
    begun: bool = False  # a thread prepares it
    again: bool = False  # a thread tries its images again
    prepared: Prepared | None = None
    tries: int = 0  # to read its images, while their store is unavailable; nothing else waits for it then


class Pool:
    """Forms batches of pairs that have one shape. It is not thread-safe."""

    def __init__(self, capacity: Callable[[PreparedPair], int]) -> None:
        """`capacity` says how many pairs like this one go together."""
        self._capacity = capacity
        self._waiting: dict[int, Waiting] = {}
        self.batch = 1  # pairs that the last batch could have had
        self.complete = False  # no more tasks come for now

    @property
    def wanted(self) -> int:
        """How many more tasks there is a use for."""
        delayed = sum(entry.tries > 0 for entry in self._waiting.values())
        if delayed >= _DELAYED:
            return 0
        return max(0, _AHEAD * self.batch - (len(self._waiting) - delayed))

    @property
    def several(self) -> bool:
        """Whether more than one task waits."""
        return len(self._waiting) > 1

    def add(self, task: Task) -> None:
        """Let a task wait, which is not prepared yet."""
        self._waiting[task.number] = Waiting(task)
        self.complete = False

    def begin(self) -> Waiting | None:
        """The task to prepare next; none if none is left to begin with.

        Only one thread at a time tries unavailable images again, because that may take long.
        """
        busy = any(entry.again for entry in self._waiting.values())
        left = [e for e in self._waiting.values() if not (e.begun or (busy and e.tries))]
        entry = min(left, key=lambda e: e.task.rank, default=None)
        if entry:
            entry.begun, entry.again = True, entry.tries > 0
        return entry

    def find(self, number: int) -> Waiting | None:
        """A task that waits; none if it was taken, or cancelled."""
        return self._waiting.get(number)

    def remove(self, number: int) -> None:
        """Forget a task."""
        self._waiting.pop(number, None)

    def cancel(self, manifest: str) -> None:
        """Forget all tasks of a manifest."""
        for number in [n for n, entry in self._waiting.items() if entry.task.manifest == manifest]:
            del self._waiting[number]

    def leader(self) -> Waiting | None:
        """The task that the next batch is formed around; none if none is prepared.

        It does not overtake a task of a lower rank that came before it and will be prepared soon.
        """
        entries = self._waiting.values()
        leader = min((entry for entry in entries if entry.prepared), key=lambda e: e.task.rank, default=None)
        if leader and any(
            entry.task.rank < leader.task.rank and entry.task.number < leader.task.number
            for entry in entries
            if not entry.prepared and not entry.tries
        ):
            return None
        return leader

    def take(self) -> list[Waiting]:
        """The next batch. It is empty while none is prepared, or while more tasks may join it."""
        leader = self.leader()
        if leader is None or leader.prepared is None:
            return []
        self.batch = self._capacity(leader.prepared.pair)
        batch = self._together(self._companions(leader))
        if len(batch) < self.batch and not leader.task.alone and self._may_grow():
            return []
        for entry in batch:
            self.remove(entry.task.number)
        return batch

    def _companions(self, leader: Waiting) -> list[Waiting]:
        """The leader and all that can share a batch with it, in their order."""
        if leader.task.alone or leader.prepared is None:
            return [leader]
        group = leader.prepared.pair.group
        fitting = [
            entry
            for entry in self._waiting.values()
            if entry.prepared and not entry.task.alone and entry.prepared.pair.group == group
        ]
        return sorted(fitting, key=lambda entry: entry.task.rank)

    def _together(self, companions: list[Waiting]) -> list[Waiting]:
        """The first of them that go together. Pairs of one shape may have styles of different sizes."""
        batch, room = list[Waiting](), self.batch
        for entry in companions[: self.batch]:
            if batch and entry.prepared:
                room = min(room, self._capacity(entry.prepared.pair))
            if len(batch) >= room:
                self.batch = len(batch)
                break
            batch.append(entry)
        return batch

    def _may_grow(self) -> bool:
        unprepared = any(not entry.prepared and not entry.tries for entry in self._waiting.values())
        return unprepared or (self.wanted > 0 and not self.complete)
