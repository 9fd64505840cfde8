"""Numbers of each evaluation, copied from the device to the host without making the device wait."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

# Rows that may still be computed on a GPU: enough to keep it busy, and few enough to stop it soon.
_DELAY, _DELAY_IN_TILES = 8, 1

Number = TypeVar("Number", Tensor, float)


class Row(NamedTuple, Generic[Number]):
    """One evaluation: tensors `(B,)` on the device, and numbers of one pair on the host."""

    content: Number
    style: Number
    tv: Number
    total: Number
    converged: Number  # 1 or 0
    deepest_share: Number  # see `nst.guide.GuideStep`


class Tape:
    """A queue of rows. Rows from a GPU are always read the same number of evaluations later.

    Decisions that depend on them therefore fall at the same evaluation however fast the host is.
    """

    def __init__(self, in_tiles: bool = False) -> None:
        """`in_tiles` says whether the picture is computed in tiles: an evaluation may then take seconds."""
        self._delay = _DELAY_IN_TILES if in_tiles else _DELAY
        self._rows: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def write(self, row: Row[Tensor]) -> None:
        """Append a row, in one copy from the device."""
        numbers = torch.stack(row).detach()
        if not numbers.is_cuda:
            self._rows.append((numbers, None))
            return
        copy = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
        copy.copy_(numbers, non_blocking=True)
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(numbers.device))
        self._rows.append((copy, event))

    def read(self, everything: bool = False) -> Iterator[list[Row[float]]]:
        """Wait for the rows that are due, or for `everything`; yield each as one row for each pair."""
        while self._rows:
            numbers, event = self._rows[0]
            if event is not None:
                if not everything and len(self._rows) <= self._delay:
                    return
                event.synchronize()
            self._rows.popleft()
            yield [Row(*values) for values in numbers.T.tolist()]
