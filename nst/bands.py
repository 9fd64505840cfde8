"""Bands of frequencies in the cosine transform of pictures, and how strongly the loss curves in each.

Departure from Gatys et al.: the initial inverse Hessian of L-BFGS is not γ times the identity matrix, but γ
times a diagonal matrix that is constant in each band. With the steps s and the changes of the gradient y of
the steps so far, each step counting 0.9 times as much as the next one, the factor of band b is proportional
to √(Σ s_b² / Σ y_b²): the geometric mean of the two step lengths of Barzilai and Borwein (1988), taken in
each band alone. The factors are scaled so that the weighted sum Σ factor_b · y_b² is Σ y_b², as with the
identity matrix.

No fixed spectrum suits all styles: fine hatching curves the loss at other frequencies than large areas of one
colour.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_OCTAVES = 5  # of each axis; the last one has all lower frequencies
_DECAY = 0.9  # how much a step counts, compared with the one after it
_FURTHEST = 8.0  # a factor is this at most, and its reciprocal at least


class Bands:
    """The bands of `(3, H, W)` cosine transforms.

    A band has one channel, one octave of vertical frequencies and one of horizontal ones. There are K of
    them.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self._row_octaves, self._column_octaves = _octaves(height).to(device), _octaves(width).to(device)
        self._rows = F.one_hot(self._row_octaves, _OCTAVES).float()
        self._columns = F.one_hot(self._column_octaves, _OCTAVES).float()

    def sums(self, transforms: Tensor) -> Tensor:
        """The sum of each band: `(B, 3·H·W)` -> `(B, K)`."""
        planes = transforms.view(-1, 3, len(self._rows), len(self._columns))
        return (self._rows.T @ (planes @ self._columns)).flatten(1)

    def spread(self, values: Tensor) -> Tensor:
        """The value of the band of each frequency: `(B, K)` -> `(B, 3·H·W)`."""
        cells = values.view(-1, 3, _OCTAVES, _OCTAVES)
        return cells[:, :, self._row_octaves[:, None], self._column_octaves].flatten(1)


class Scaling:
    """The diagonal of an inverse Hessian, relative to γ, from the steps of a search.

    All state is in tensors that keep their place in memory.
    """

    def __init__(self, bands: Bands, like: Tensor) -> None:
        """`like` has the shape `(B, N)` of the variables, and their device."""
        self._bands = bands
        self._steps = torch.zeros_like(bands.sums(like))
        self._changes = self._steps.clone()

    def store(self, s: Tensor, y: Tensor) -> None:
        """Take a step and the change of the gradient with it, `(B, N)` each; zeros change no factor."""
        for sums, each in ((self._steps, s), (self._changes, y)):
            sums.mul_(_DECAY).add_(self._bands.sums(each.square()))

    def factors(self) -> Tensor:
        """The factor on each variable, `(B, N)`; 1 as long as no step is stored."""
        lengths = (self._steps / self._changes).sqrt()
        mean = (lengths * self._changes).nansum(1, keepdim=True) / self._changes.sum(1, keepdim=True)
        factors = (lengths / mean).nan_to_num(1.0, _FURTHEST).clamp(1 / _FURTHEST, _FURTHEST)
        return self._bands.spread(factors)


def _octaves(length: int) -> Tensor:
    """`(length,)`: the octave of each frequency of one axis; 0 is the highest one."""
    frequencies = (torch.arange(length) + 0.5) / length
    return (-frequencies.log2()).long().clamp_max(_OCTAVES - 1)
