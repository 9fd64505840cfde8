"""A budget of bytes that several threads share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Budget:
    """Lets threads take bytes, and makes them wait while too many are taken."""

    def __init__(self, size: int) -> None:
        self._size, self._taken = size, 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Take bytes while the block runs; wait before it until they are free.

        More than the whole budget counts as all of it, so that the block then runs alone. A thread must not
        take twice at the same time.
        """
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._taken + size <= self._size)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()
