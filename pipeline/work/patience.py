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
        """`on_wait` gets each fault, and whether no thread, this one included, has waited until then."""
        self._stop, self._on_wait, self._timing = stop, on_wait, timing
        self._lock, self._waiting = threading.Lock(), 0  # threads

    def wait_for(self, action: Callable[[], T]) -> T:
        """The result of an action. Raises what it raises, and `StoppedError` once `stop` is set."""
        failed = 0
        try:
            while True:
                try:
                    return action()
                except UnavailableError as error:
                    with self._lock:
                        first = self._waiting == 0
                        self._waiting += failed == 0
                    failed += 1
                    self._on_wait(error, first)
                if self._stop.wait(self._timing.retry_after(failed)):
                    raise StoppedError
        finally:
            with self._lock:
                self._waiting -= failed > 0
