"""Small JPEGs of pictures in the outbox, for pages that show many of them."""

from collections.abc import Callable

from pipeline.cache import Cache
from pipeline.server.etags import etag_of
from pipeline.stores.base import Store

_LARGEST = 2**30  # bytes of a picture
_KEPT = 2**25  # bytes of small pictures


class Thumbnails:
    """Makes small pictures, and keeps those that were used last. Threads may share it."""

    def __init__(self, store: Store, small: Callable[[bytes], bytes]) -> None:
        self._store, self._small = store, small
        self._kept = Cache[bytes](_KEPT, len)  # by ETag

    def etag(self, key: str) -> str | None:
        """The ETag of the small picture of a file; none if there is no such file. Raises `StoreError`."""
        entry = self._store.entry(key)
        return etag_of(f"{key} {entry.version}") if entry else None

    def jpeg(self, key: str, etag: str) -> bytes:
        """The small picture of a file. Raises `ImageError`, `StoreError`."""
        return self._kept.found_or_made(etag, lambda: self._small(self._store.read(key, _LARGEST)))
