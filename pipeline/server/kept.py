"""A value that takes requests to a store: it is computed once for all who ask within some seconds."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from pipeline.stores.base import Store
from pipeline.timing import Timing

T = TypeVar("T")

_REST = 10.0  # a factor: a value that took N seconds is kept for this many times N seconds


def kept_for(seconds: float, took: float) -> float:
    """For how long a value is kept: so many seconds, and longer if it took long; 0 if `seconds` is 0."""
    return max(seconds, _REST * took) if seconds else 0.0


def listed_for(store: Store, timing: Timing) -> float:
    """For how many seconds a listing of a store is used, if it did not take long."""
    return timing.listed_bucket if store.atomic else timing.counted


class Kept(Generic[T]):
    """Keeps the result of an action. All methods may be called from several threads."""

    def __init__(
        self, action: Callable[[], T], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A result is kept for so many seconds, and longer if the action takes long, as `clock` says."""
        self._action, self._seconds, self._clock = action, seconds, clock
        self._lock = threading.Lock()
        self._found: tuple[T] | None = None
        self._error: Exception | None = None  # of the last call
        self._ended = 0.0  # when the last call ended
        self._until = self._rest = 0.0  # until when its result is kept: usually, and after `forget`
        self._forgotten = False

    def get(self) -> T:
        """The result. A caller waits for a call that runs already, and gets its result or its error."""
        asked = self._clock()
        with self._lock:
            if self._error and asked < self._ended:
                raise self._error
            began = self._clock()
            if self._found is None or began >= (self._rest if self._forgotten else self._until):
                self._call()
                took = self._ended - began
                self._until = self._ended + kept_for(self._seconds, took)
                self._rest = min(self._until, self._ended + _REST * took)
            assert self._found
            return self._found[0]

    def _call(self) -> None:
        self._found, self._error, self._forgotten = None, None, False
        try:
            self._found = (self._action(),)
        except Exception as error:
            self._error = error
            raise
        finally:
            self._ended = self._clock()

    def forget(self) -> None:
        """Compute the result again for the next caller, because this process has changed it.

        After a call that took long, this waits for some time, so that many changes do not repeat it each.
        """
        self._forgotten = True
