"""A scale for each band of frequencies and colour, estimated from the steps of a search.

Departure from Gatys et al.: the initial inverse Hessian of L-BFGS is not γ times the identity matrix, but γ
times a diagonal matrix, whose factor r_b is the same for all variables of band b:

    r_b = clip(ℓ_b / m, 1/8, 8),  ℓ_b = √(Σ_k 0.9^k s²_bk / Σ_k 0.9^k y²_bk),  m = Σ_b ℓ_b Y_b / Σ_b Y_b.

Here s²_bk is the sum of the squares, in band b, of the step that was taken k evaluations ago, y²_bk the same
of the change of the gradient with it, and Y_b = Σ_k 0.9^k y²_bk. The length ℓ_b is the geometric mean of the
two step lengths of Barzilai and Borwein (1988), taken in one band. Division by m leaves Σ_b r_b Y_b as it is
with the identity matrix.

The frequencies at which the loss has a high curvature differ from style to style, so that no fixed spectrum
suits all: fine hatching needs another one than large areas of one colour.
"""

import torch
from torch import Tensor

_OCTAVES = 5  # of each axis; the lowest one has all lower frequencies, which are few
_DECAY = 0.9  # the factor on earlier steps at each evaluation; with 0.8 and 0.95 mean losses are within 3 %
_FURTHEST = 8.0  # factors lie between 1/8 and 8; mean losses with a bound of 30 are within 5 %


class Bands:
    """The bands of `(3, H, W)` cosine transforms, in fp32.

    A band has one channel, one octave of vertical frequencies, and one of horizontal ones. They are numbered
    in this order, and the highest octave is the first one. `count` is the number K of bands.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self.count = 3 * _OCTAVES**2
        self._rows, self._columns = _octaves(height).to(device), _octaves(width).to(device)

    def sums(self, transforms: Tensor) -> Tensor:
        """The sum of each band: `(B, 3·H·W)` -> `(B, K)`."""
        planes = transforms.view(-1, 3, len(self._rows), len(self._columns))
        return (self._rows.T @ (planes @ self._columns)).flatten(1)

    def spread(self, values: Tensor) -> Tensor:
        """The value of the band of each frequency: `(B, K)` -> `(B, 3·H·W)`."""
        cells = values.view(-1, 3, _OCTAVES, _OCTAVES)
        return (self._rows @ cells @ self._columns.T).flatten(1)


class Scaling:
    """The factors r of the variables of B searches.

    All state is in tensors that keep their place in memory, so a CUDA graph can repeat a step.
    """

    def __init__(self, bands: Bands, searches: int, device: torch.device) -> None:
        self._bands = bands
        self._steps, self._changes = torch.zeros(2, searches, bands.count, device=device)

    def store(self, s: Tensor, y: Tensor) -> None:
        """Take a step and the change of the gradient with it, `(B, N)` each; zeros where there is none."""
        for sums, each in ((self._steps, s), (self._changes, y)):
            sums.mul_(_DECAY).add_(self._bands.sums(each.square()))

    def factors(self) -> Tensor:
        """The factor of each variable, `(B, N)`; 1 as long as no step is stored."""
        # The roots first, because the ratio of the squares may be infinite.
        s, y = self._steps.sqrt(), self._changes.sqrt()
        mean = (s * y).sum(1, keepdim=True) / self._changes.sum(1, keepdim=True)
        # Where the gradient did not change, s / y is infinite, and where nothing is stored it is no number.
        factors = (s / y / mean).nan_to_num(1.0).clamp(1 / _FURTHEST, _FURTHEST)
        return self._bands.spread(factors)


def _octaves(length: int) -> Tensor:
    """`(length, 5)`: 1 in the column of the octave of each frequency of an axis, the highest octave first."""
    frequencies = (torch.arange(length) + 0.5) / length  # of the highest one; a half more, so that none is 0
    octave = (-frequencies.log2()).long().clamp_max(_OCTAVES - 1)
    return (octave[:, None] == torch.arange(_OCTAVES)).float()
