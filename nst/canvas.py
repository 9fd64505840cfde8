"""The variables that pictures are optimised in.

A picture is x = (1 - cos u) / 2 of an unbounded u, so it never leaves 0..1 and needs no clipping; and u is
the cosine transform of weighted coefficients v, where the weights fall with frequency like natural images
do. Plain L-BFGS on v is L-BFGS on u with the inverse spectrum as its initial metric: large areas move first.
A cosine transform continues a picture by its mirror image; a Fourier transform would wrap it around and
leave a frame.
"""

import math

import torch
from torch import Tensor

_POWER = 0.85  # amplitudes fall as 1/f^(p/2); of 0.5 to 2, tried on six pairs, this takes the fewest steps
_INSIDE = 0.02  # pure black and white start this far inside the box: at its walls every gradient is zero


class Canvas:
    """Maps between pictures `(B, 3, H, W)` in 0..1 and variables `(B, 3·H·W)`."""

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self._down, self._across = (_cosines(n).to(device) for n in (height, width))
        lowest = 1 / (2 * max(height, width))
        rows, columns = (
            torch.arange(height)[:, None] / (2 * height),
            torch.arange(width) / (2 * width),
        )
        amplitude = ((rows**2 + columns**2).sqrt() + lowest) ** (-_POWER / 2)
        self._amplitude = (amplitude / amplitude.square().mean().sqrt()).to(device)

    def encode(self, image: Tensor) -> Tensor:
        """Picture to variables."""
        angle = torch.arccos(1 - 2 * image.clamp(_INSIDE, 1 - _INSIDE))
        return (self._down @ angle @ self._across.T / self._amplitude).flatten(1)

    def decode(self, variables: Tensor) -> Tensor:
        """Variables to picture; differentiable."""
        height, width = self._amplitude.shape
        spectrum = variables.view(-1, 3, height, width) * self._amplitude
        return 0.5 - 0.5 * torch.cos(self._down.T @ spectrum @ self._across)


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II of length n as an (n, n) matrix; at these sizes a product beats an FFT."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * (i + 0.5) * k) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.float()
