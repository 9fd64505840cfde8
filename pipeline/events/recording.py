"""A listener for tests: it keeps every event and lets a test wait for one."""

import threading
from collections.abc import Callable
from typing import TypeVar

from pipeline.events.listener import Event

E = TypeVar("E")


class RecordingListener:
    """Keeps every event in `events`, in the order in which they came."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()

    def hear(self, event: Event) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def close(self) -> None:
        pass

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind so far."""
        return [event for event in self.events if isinstance(event, kind)]

    def wait_for(
        self, kind: type[E], fits: Callable[[E], bool] = lambda event: True, timeout: float = 60.0
    ) -> E:
        """The first event of a kind that fits; waits until it comes. Raises `TimeoutError`."""

        def found() -> E | None:
            return next((event for event in self.of(kind) if fits(event)), None)

        with self._changed:
            event = self._changed.wait_for(found, timeout)
        if event is None:
            raise TimeoutError(f"no such {kind.__name__} in {timeout:g} s; there were {self.events}")
        return event
