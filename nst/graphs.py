"""CUDA graphs: a GPU repeats the operations of a step, which the host asks for only once.

The host takes about 15 ms to ask a GPU for the 400 operations of an evaluation, and a fast GPU computes those
of a single picture of 512 px in 2 ms.
"""

import warnings
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, TypeVar

import torch

from nst.device import is_out_of_memory

Result = TypeVar("Result")

LARGEST = 2**22  # pixels of a batch; for more of them, the GPU takes longer than the host
_BYTES = 2000  # memory that a graph takes for each pixel, at most


class Graphs:
    """Repeats steps as CUDA graphs.

    All tensors that a step reads and changes must keep their places in memory, and it must have run once
    without a graph. Graphs use their memory one after the other. It is kept from batch to batch until
    `release`, because taking memory from a GPU takes long.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._known: dict[Hashable, tuple[torch.cuda.CUDAGraph, Any]] = {}
        # Graphs share memory only if they are captured in the same stream.
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._keeper: torch.cuda.CUDAGraph | None = None  # memory exists as long as one graph that uses it
        self._fails = False

    def begin(self, pixels: int) -> None:
        """Forget all graphs, and get ready for those of a batch of so many pixels."""
        self._known.clear()
        self._fails = False
        free, _ = torch.cuda.mem_get_info(self._device)
        if free < _BYTES * pixels:
            torch.cuda.empty_cache()  # memory that a graph takes is not taken from what PyTorch keeps

    def release(self) -> None:
        """Forget all graphs, and give their memory back."""
        self._known.clear()
        if self._keeper:
            self._keeper = None
            torch.cuda.empty_cache()

    def run(self, key: Hashable, step: Callable[[], Result]) -> Result:
        """Run a step, which has the same operations whenever it gets this key, and return what it returns.

        Tensors in the result are overwritten by the next step. If a graph cannot be made, because of too
        little memory or for another reason, the steps of this batch run without.
        """
        if key not in self._known and not self._fails:
            try:
                self._known[key] = self._captured(step)
            except RuntimeError as error:
                self._fails = True
                self.release()
                if not is_out_of_memory(error):
                    warnings.warn(
                        f"this GPU computes without CUDA graphs, which is slower: {error}", stacklevel=2
                    )
        if key not in self._known:
            return step()
        graph, result = self._known[key]
        graph.replay()
        found: Result = result
        return found

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
