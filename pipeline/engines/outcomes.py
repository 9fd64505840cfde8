"""What an engine has finished and nobody has taken yet; its number and its bytes are limited."""

import queue
import threading

from nst.result import Result
from pipeline.engines.base import Finished, Outcome
from pipeline.engines.prepare import Prepared
from pipeline.errors import EngineLostError

# An engine that reaches one of these wants no more tasks until results are taken.
_MOST = 64  # results
_MOST_BYTES = 2**29  # of results, encoded or not; one result of 2048 pixels has 39 MiB until it is encoded

Item = Outcome | EngineLostError | None


class Outcomes:
    """A queue of outcomes, which also counts the results that wait for the encoder."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unencoded = 0  # results
        self._bytes = 0  # of all results that wait

    @property
    def full(self) -> bool:
        """Whether no more tasks should be wanted for now."""
        return self._unencoded + self._queue.qsize() >= _MOST or self._bytes >= _MOST_BYTES

    def expect(self, size: int) -> None:
        """A result of this many bytes waits for the encoder. `put_encoded` must follow."""
        with self._lock:
            self._unencoded += 1
            self._bytes += size

    def put_encoded(self, outcome: Outcome, size: int) -> None:
        """Put the outcome of a result that had this many bytes before it was encoded."""
        self.put(outcome)
        with self._lock:
            self._unencoded -= 1
            self._bytes -= size

    def put(self, item: Item) -> None:
        """Put an outcome, the error that ends the engine, or none for its regular end."""
        with self._lock:
            self._bytes += _encoded_bytes(item)
        self._queue.put(item)

    def take(self) -> Outcome | None:
        """Wait for the next one. Raises the error that ends the engine."""
        item = self._queue.get()
        with self._lock:
            self._bytes -= _encoded_bytes(item)
        if isinstance(item, EngineLostError):
            raise item
        return item


def unencoded_bytes(prepared: Prepared, result: Result) -> int:
    """The bytes that a result, and the pair that it belongs to, take until they are encoded."""
    pair, regions = prepared.pair, prepared.pair.regions
    pictures = [result.image, *pair.contents, *(s.image for s in result.snapshots)]
    pictures += [pair.colors] if pair.colors else []
    masks = [image for image in prepared.thumbnails.values() if image.mode == "L"]
    masks += [*(regions.keeps if regions else ()), *([pair.alpha] if pair.alpha else ())]
    tensors = [pair.starts, *(regions.guides if regions else ())]
    # Pillow keeps four bytes for a pixel of RGB. Styles don't count, because many pairs share them.
    return (
        sum(4 * p.width * p.height for p in pictures)
        + sum(mask.width * mask.height for mask in masks)
        + sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    )


def _encoded_bytes(item: Item) -> int:
    if not isinstance(item, Finished):
        return 0
    small = [*item.thumbnails.values(), *item.snapshots.values()]
    return len(item.picture) + len(item.loss_log) + sum(map(len, small))
