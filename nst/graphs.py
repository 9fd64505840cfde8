"""CUDA graphs: a GPU repeats the operations of a step, which the host asks for only once.

The host takes 10 to 18 ms to ask a GPU for the 420 operations of an evaluation, and a fast GPU computes those
of a single picture of 512 px in 2 ms.
"""

import warnings
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar

import torch

from nst.available import AvailableMemory
from nst.device import is_out_of_memory

Result = TypeVar("Result")

LARGEST = 2**21  # pixels of a batch; for about as many, a fast GPU takes as long as the host


class Graphs:
    """Repeats steps as CUDA graphs.

    All tensors that a step reads and changes must keep their places in memory, and the operations of a step
    must have run once without a graph. All graphs share one piece of memory, because they run one after the
    other. It is kept from batch to batch, because taking memory from a GPU takes long, until something else
    needs it.
    """

    def __init__(self, memory: AvailableMemory) -> None:
        """`memory` is that of the GPU."""
        self._memory, self._device = memory, memory.device
        self._known: dict[Hashable, tuple[torch.cuda.CUDAGraph, Any]] = {}
        # Graphs share memory only if they are captured in the same stream.
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._keeper: torch.cuda.CUDAGraph | None = None  # the memory exists as long as a graph that uses it
        self._needed = self._taken = 0  # bytes
        self._works = self._has_room = True

    def begin(self, of_step: int, of_batch: int) -> None:
        """Forget all graphs, and get ready for those of a batch.

        A step takes `of_step` bytes while it runs, and the batch `of_batch` bytes, these included.
        """
        self._known.clear()
        self.make_room(of_batch)
        self._needed, self._has_room = of_step, True

    def make_room(self, needed: int) -> None:
        """Forget all graphs, and give their memory back, if fewer bytes than `needed` are left beside it.

        What PyTorch keeps without using it is given back first.
        """
        if self._keeper and self._memory.left() < needed:
            torch.cuda.empty_cache()
            if self._memory.left() < needed:
                self.release()

    def release(self) -> None:
        """Forget all graphs, and give their memory back."""
        self._known.clear()
        if self._keeper:
            self._keeper, self._taken = None, 0
            torch.cuda.empty_cache()

    def run(self, key: Hashable, step: Callable[[], Result]) -> Result:
        """Run a step, which has the same operations whenever it gets this key, and return what it returns.

        Tensors in the result are overwritten by the next step. If a graph cannot be made because of too
        little memory, the steps of this batch run without; if for another reason, all steps from now on.
        """
        if key not in self._known and self._works and self._has_room and not self._make(key, step):
            self.release()  # only here, because a traceback holds memory
        if key not in self._known:
            return step()
        graph, result = self._known[key]
        graph.replay()
        found: Result = result
        return found

    def _make(self, key: Hashable, step: Callable[[], object]) -> bool:
        """Make the graph of a step; false if that is not possible."""
        if self._memory.left() < self._needed - self._taken:
            # What PyTorch keeps after steps without a graph is of no use for a graph.
            torch.cuda.empty_cache()
        try:
            self._known[key] = self._captured(step)
        except RuntimeError as error:
            if is_out_of_memory(error):
                self._has_room = False
            else:
                # Parts of PyTorch do not recover from this, so it is not tried again.
                self._works = False
                warnings.warn(f"steps run without CUDA graphs, which is slower: {error}", stacklevel=3)
            return False
        self._taken = max(self._taken, self._needed)
        return True

    def _captured(self, step: Callable[[], Result]) -> tuple[torch.cuda.CUDAGraph, Result]:
        if self._keeper is None:
            self._keeper, _ = self._capture(lambda: torch.zeros(1, device=self._device), None)
        return self._capture(step, self._keeper)

    def _capture(
        self, step: Callable[[], Result], other: torch.cuda.CUDAGraph | None
    ) -> tuple[torch.cuda.CUDAGraph, Result]:
        """A graph of the step that shares the memory of another graph."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            # Other threads may use the GPU meanwhile.
            pool = other.pool() if other else None
            graph.capture_begin(pool=pool, capture_error_mode="thread_local")
            try:
                result = step()
            except BaseException:
                with suppress(RuntimeError):
                    graph.capture_end()
                raise
            graph.capture_end()
        current.wait_stream(self._stream)
        return graph, result
