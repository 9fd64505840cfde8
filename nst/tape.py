"""Carries numbers from the device to the host without making the device wait."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

_BEHIND = 8  # rows that the host lags, so that it neither starves the device nor runs away from it


class Tape:
    """A queue of small tensors; from a GPU they come out some rows later, always as many.

    Whatever is decided by them is then decided at the same step, however fast the host is.
    """

    def __init__(self) -> None:
        self._rows: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def write(self, row: Tensor) -> None:
        """Append a tensor that lives on the device."""
        if not row.is_cuda:
            self._rows.append((row, None))
            return
        copy = torch.empty(row.shape, dtype=row.dtype, pin_memory=True)
        copy.copy_(row, non_blocking=True)
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(row.device))
        self._rows.append((copy, event))

    def read(self, everything: bool = False) -> Iterator[Tensor]:
        """Yield, in order, the rows that are due, or `everything`; wait for them."""
        while self._rows:
            row, event = self._rows[0]
            if event is not None:
                if not everything and len(self._rows) <= _BEHIND:
                    return
                event.synchronize()
            self._rows.popleft()
            yield row
