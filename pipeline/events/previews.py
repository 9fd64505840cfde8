"""Which pairs somebody watches, and the newest preview of each: the HTTP door asks, an engine answers."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.events.listener import Event, Failed, ManifestEnded, ManifestLeft, PairDone
from pipeline.timing import Timing

_MOST = 256  # pairs that are watched at the same time; the one that was asked for least recently is dropped

Key = tuple[str, str]  # the name of a manifest, and the id of a pair


@dataclass
class _Watched:
    until: float  # by the clock
    jpeg: bytes | None = None


class Previews:
    """The previews of one process. All methods may be called from any thread.

    It is also a listener: it forgets a pair when the pair is done or has failed, and all pairs of a manifest
    when the work on the manifest ends.
    """

    def __init__(self, timing: Timing = Timing(), clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._seconds, self._clock = timing.watched, clock
        self._lock = threading.Lock()
        self._pairs: OrderedDict[Key, _Watched] = OrderedDict()  # those asked for least recently come first

    def watch(self, manifest: str, pair: str) -> bytes | None:
        """The newest preview of a pair, a JPEG; none if there is none yet.

        For `Timing.watched` seconds after this call, an engine that computes the pair makes previews of it.
        """
        with self._lock:
            self._drop_old()
            found = self._pairs.pop((manifest, pair), None)
            jpeg = found.jpeg if found else None
            self._pairs[manifest, pair] = _Watched(self._clock() + self._seconds, jpeg)
            if len(self._pairs) > _MOST:
                self._pairs.popitem(last=False)
            return jpeg

    def watched(self) -> frozenset[Key]:
        """The pairs of which previews are to be made now. An engine asks this once for each step."""
        if not self._pairs:
            return frozenset()
        with self._lock:
            self._drop_old()
            return frozenset(self._pairs)

    def put(self, manifest: str, pair: str, jpeg: bytes) -> None:
        """Replace the preview of a pair. Nothing happens if nobody watches the pair any more."""
        with self._lock:
            self._drop_old()
            if found := self._pairs.get((manifest, pair)):
                found.jpeg = jpeg

    def hear(self, event: Event) -> None:
        match event:
            case PairDone(manifest, record):
                self._forget(manifest, record.id)
            case Failed(manifest, problem) if problem.id:
                self._forget(manifest, problem.id)
            case Failed(manifest) | ManifestEnded(manifest) | ManifestLeft(manifest):
                self._forget(manifest)

    def close(self) -> None:
        pass

    def _forget(self, manifest: str, pair: str | None = None) -> None:
        """Forget one pair of a manifest, or all of them."""
        with self._lock:
            for key in [k for k in self._pairs if k[0] == manifest and pair in (None, k[1])]:
                del self._pairs[key]

    def _drop_old(self) -> None:
        """Forget the pairs that nobody has asked for since `Timing.watched` seconds."""
        now = self._clock()
        while self._pairs and next(iter(self._pairs.values())).until <= now:
            self._pairs.popitem(last=False)
