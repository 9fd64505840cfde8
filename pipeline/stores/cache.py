"""The objects of a bucket that were read last."""

import threading
from collections import OrderedDict

from pipeline.stores.objects import Object


class Cache:
    """Keeps objects, up to a number of bytes; what was used longest ago goes first. For several threads."""

    def __init__(self, most: int) -> None:
        """`most` is in bytes."""
        self._most, self._size = most, 0
        self._objects: OrderedDict[str, Object] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: str) -> Object | None:
        """The object that was last kept under this key, unless it had to go."""
        with self._lock:
            if key in self._objects:
                self._objects.move_to_end(key)
            return self._objects.get(key)

    def keep(self, key: str, found: Object) -> None:
        """Keep an object in place of an earlier one, unless it alone has too many bytes."""
        with self._lock:
            if earlier := self._objects.pop(key, None):
                self._size -= len(earlier.data)
            if len(found.data) > self._most:
                return
            self._size += len(found.data)
            self._objects[key] = found
            while self._size > self._most:
                self._size -= len(self._objects.popitem(last=False)[1].data)
