"""Waiting for a store that cannot be used now."""

import threading
from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import StoppedError, UnavailableError
from pipeline.timing import Timing

T = TypeVar("T")


class Patience:
    """Repeats what fails because a store is unavailable, with exponential backoff, until it works."""

    def __init__(
        self, stop: threading.Event, on_wait: Callable[[UnavailableError, bool], None], timing: Timing
    ) -> None:
        """`on_wait` gets each fault, and whether it is the first one: while no other thread waits."""
        self._stop, self._on_wait, self._timing = stop, on_wait, timing
        self._lock, self._waiting = threading.Lock(), 0  # threads

    def wait_for(self, action: Callable[[], T]) -> T:
        """The result of an action. Raises what it raises, and `StoppedError` once `stop` is set."""
        wait, waits = self._timing.retry_first, False
        try:
            while True:
                try:
                    return action()
                except UnavailableError as error:
                    with self._lock:
                        first = self._waiting == 0
                        self._waiting += not waits
                    waits = True
                    self._on_wait(error, first)
                if self._stop.wait(wait):
                    raise StoppedError
                wait = min(2 * wait, self._timing.retry_last)
        finally:
            with self._lock:
                self._waiting -= waits
