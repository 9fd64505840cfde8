"""The ids of the pairs that manifests have, for those who want to see them."""

import hashlib
import time

from pipeline.cache import Cache
from pipeline.errors import ManifestError, StoreError, UnavailableError
from pipeline.manifest.expand import expand
from pipeline.manifest.reading import parse
from pipeline.settings import Caps
from pipeline.stores.sources import Sources

_KEPT = 4  # manifests


class Expanded:
    """Expands documents, and remembers the last ones for a while, because patterns take long to search."""

    def __init__(self, sources: Sources, caps: Caps, seconds: float) -> None:
        """The ids of a document are used for so many seconds."""
        self._sources, self._caps, self._seconds = sources, caps, seconds
        self._kept = Cache[tuple[float, list[str]]](_KEPT)  # until when, and the ids

    def ids(self, document: bytes) -> list[str]:
        """The ids in the order of the manifest; empty if it is not valid. Raises `UnavailableError`."""
        digest, now = hashlib.sha256(document).hexdigest(), time.monotonic()
        until, ids = self._kept.find(digest) or (now, [])
        if now < until:
            return ids
        try:
            pairs = expand(parse(document), self._sources.search(), self._caps)
        except UnavailableError:
            raise
        except (ManifestError, StoreError):
            return []  # not remembered: the images of a pattern may come
        ids = [pair.id for pair in pairs]
        self._kept.keep(digest, (now + self._seconds, ids))
        return ids
