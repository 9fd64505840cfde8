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
        """`on_wait` gets each fault, and whether it is the first one of an action."""
        self._stop, self._on_wait, self._timing = stop, on_wait, timing

    def wait_for(self, action: Callable[[], T]) -> T:
        """The result of an action. Raises what it raises, and `StoppedError` once `stop` is set."""
        wait, first = self._timing.retry_first, True
        while True:
            try:
                return action()
            except UnavailableError as error:
                self._on_wait(error, first)
            if self._stop.wait(wait):
                raise StoppedError
            wait, first = min(2 * wait, self._timing.retry_last), False
