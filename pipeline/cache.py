"""Values that were read or made last, up to a total size."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Cache(Generic[T]):
    """Keeps values, up to a total size; what was used longest ago goes first. For several threads."""

    def __init__(self, most: int, size: Callable[[T], int] = lambda value: 1) -> None:
        """`size` measures a value, and `most` is in its unit; by default `most` is a number of values.

        A value must not change its size.
        """
        self._most, self._measure, self._size = most, size, 0
        self._values: OrderedDict[Hashable, T] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: Hashable) -> T | None:
        """The value that was last kept under this key, unless it had to go."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def found_or_made(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value under this key, made and kept if there is none. Two threads may make it at once."""
        found = self.find(key)
        if found is None:
            found = make()
            self.keep(key, found)
        return found

    def keep(self, key: Hashable, value: T) -> None:
        """Keep a value in place of an earlier one, unless it alone is too large."""
        with self._lock:
            if key in self._values:
                self._size -= self._measure(self._values.pop(key))
            if self._measure(value) > self._most:
                return
            self._size += self._measure(value)
            self._values[key] = value
            while self._size > self._most:
                self._size -= self._measure(self._values.popitem(last=False)[1])
