"""A value that takes requests to a store: it is computed once for all who ask within some seconds."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")

_REST = 10.0  # a value is kept for this many times the seconds that it took: a factor


def kept_for(seconds: float, took: float) -> float:
    """For how long a value is kept: so many seconds, and longer if it took long; 0 if `seconds` is 0."""
    return max(seconds, _REST * took) if seconds else 0.0


class Kept(Generic[T]):
    """Keeps the result of an action. All methods may be called from several threads."""

    def __init__(self, action: Callable[[], T], seconds: float) -> None:
        """A result is kept for so many seconds, and longer if the action takes long."""
        self._action, self._seconds = action, seconds
        self._lock = threading.Lock()
        self._found: tuple[T] | None = None
        self._until, self._changes = 0.0, 0

    def get(self) -> T:
        """The result. Who asks while the action runs waits for it. Raises what the action raises."""
        with self._lock:
            began, changes = time.monotonic(), self._changes
            if self._found is None or began >= self._until:
                self._found = (self._action(),)
                took = time.monotonic() - began
                kept = kept_for(self._seconds, took)
                self._until = began + took + kept if changes == self._changes else 0.0
            return self._found[0]

    def forget(self) -> None:
        """Compute the result again for the next who asks, because this process has changed it."""
        self._changes += 1
        self._until = 0.0
