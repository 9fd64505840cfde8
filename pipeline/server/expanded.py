"""The ids of the pairs that manifests have, for those who want to see them."""

import hashlib
import threading
from collections import OrderedDict

from pipeline.errors import ManifestError, StoreError, UnavailableError
from pipeline.manifest.expand import expand
from pipeline.manifest.reading import parse
from pipeline.settings import Caps
from pipeline.stores.search import Search
from pipeline.stores.sources import Sources

_KEPT = 4  # manifests


class Expanded:
    """Expands documents, and remembers the last ones, so that their patterns are searched once for each."""

    def __init__(self, sources: Sources, caps: Caps) -> None:
        self._sources, self._caps = sources, caps
        self._lock = threading.Lock()
        self._kept: OrderedDict[bytes, list[str]] = OrderedDict()

    def ids(self, document: bytes) -> list[str]:
        """The ids in the order of the manifest; empty if it is not valid. Raises `UnavailableError`."""
        digest = hashlib.sha256(document).digest()
        with self._lock:
            if digest in self._kept:
                self._kept.move_to_end(digest)
                return self._kept[digest]
        ids = self._expanded(document)
        with self._lock:
            self._kept[digest] = ids
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return ids

    def _expanded(self, document: bytes) -> list[str]:
        try:
            pairs = expand(parse(document), self._sources.search(Search()), self._caps)
        except UnavailableError:
            raise
        except (ManifestError, StoreError):
            return []
        return [pair.id for pair in pairs]
