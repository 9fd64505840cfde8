"""Small JPEGs of pictures in the outbox, for pages that show many of them."""

import threading
from collections import OrderedDict
from collections.abc import Callable

from pipeline.server.etags import etag_of
from pipeline.stores.base import Store

_LARGEST = 2**30  # bytes of a picture
_KEPT = 2**25  # bytes of small pictures


class Thumbnails:
    """Makes small pictures, and keeps the newest. All methods may be called from several threads."""

    def __init__(self, store: Store, small: Callable[[bytes], bytes]) -> None:
        self._store, self._small = store, small
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()  # by ETag
        self._size = 0  # bytes

    def etag(self, key: str) -> str | None:
        """The ETag of the small picture of a file; none if there is no such file. Raises `StoreError`."""
        entry = self._store.entry(key)
        return etag_of(f"{key} {entry.version}") if entry else None

    def jpeg(self, key: str, etag: str) -> bytes:
        """The small picture of a file. Raises `ImageError`, `StoreError`."""
        with self._lock:
            if (found := self._kept.get(etag)) is not None:
                self._kept.move_to_end(etag)
                return found
        made = self._small(self._store.read(key, _LARGEST))
        with self._lock:
            self._size += len(made) - len(self._kept.get(etag, b""))
            self._kept[etag] = made
            while self._size > _KEPT and len(self._kept) > 1:
                self._size -= len(self._kept.popitem(last=False)[1])
        return made
