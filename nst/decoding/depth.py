"""Other samples than unsigned ones of 8 or 16 bits: what is black and white, and their levels in 16 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_WHITE = 65535.0
_OUTLIERS = 0.01  # resizing, highlights or invalid pixels may leave a few values beyond the others


def of_floats(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Floats with black at 0. White is 1, or 255 or 65535 if more than 1 % of the values are above that."""
    levels = np.nan_to_num(values.astype(np.float32), nan=0, posinf=0, neginf=0)
    high = float(np.quantile(levels, 1 - _OUTLIERS))
    white = next((level for level in (1.0, 255.0) if high <= level), _WHITE)
    return _rounded(levels, _WHITE / white)


def of_integers(values: NDArray[Any]) -> NDArray[np.uint16]:
    """Integers of any size, as numpy has them.

    Unsigned ones go from 0 to the largest of their type. So do signed ones, unless more than 1 % of them are
    below 0; then black is the smallest of their type. Signed ones of 32 bits that are at most 65535 have only
    16 bits, as Pillow writes them.
    """
    limits = np.iinfo(values.dtype)
    low, high = np.quantile(values, (_OUTLIERS, 1 - _OUTLIERS))
    black, white = 0, limits.max
    if low < 0:
        black = limits.min
    elif values.dtype == np.int32 and high <= _WHITE:
        white = 65535
    levels: NDArray[Any] = values.astype(np.float64 if limits.bits > 16 else np.float32)
    levels -= black
    return _rounded(levels, _WHITE / (white - black))


def _rounded(levels: NDArray[Any], factor: float) -> NDArray[np.uint16]:
    # In place, because each step would make a copy.
    levels *= factor
    return levels.round(out=levels).clip(0, _WHITE, out=levels).astype(np.uint16)
