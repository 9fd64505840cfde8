"""Carries numbers from the device to the host without making either wait for the other."""

from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor

_BEHIND = 8  # how many rows the host may lag, so that it neither starves the device nor runs away from it


class Tape:
    """A queue of small tensors; on a GPU they are copied in the background and come out a little later."""

    def __init__(self) -> None:
        self._rows: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def write(self, row: Tensor) -> None:
        """Append a tensor that lives on the device."""
        if not row.is_cuda:
            self._rows.append((row, None))
            return
        copy = torch.empty(row.shape, dtype=row.dtype, pin_memory=True)
        copy.copy_(row, non_blocking=True)
        event = torch.cuda.Event()  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(row.device))
        self._rows.append((copy, event))

    def read(self, everything: bool = False) -> Iterator[Tensor]:
        """Yield, in order, the rows that have arrived; wait for all of them if `everything`."""
        while self._rows:
            row, event = self._rows[0]
            if event is not None and not event.query():  # type: ignore[no-untyped-call]
                if not everything and len(self._rows) <= _BEHIND:
                    return
                event.synchronize()
            self._rows.popleft()
            yield row
