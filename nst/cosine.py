"""The orthonormal cosine transform (DCT-II) of pictures and its inverse, both differentiable.

Small pictures are multiplied with a matrix on each side, which takes less time for them than an FFT. Large
ones use the real FFT of reordered numbers, after Makhoul (1980), 'A fast cosine transform in one and two
dimensions': the even numbers in order, then the odd ones in reverse order. A turn of the phase of their
spectrum gives two frequencies of the cosine transform as its real and its imaginary part.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LONGEST_DENSE = 2048  # pixels of a side; for longer ones the matrix takes too much memory


class CosineTransform:
    """Maps pictures of one size, `(B, 3, H, W)`, to their frequencies, and back."""

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self._is_dense = max(height, width) <= LONGEST_DENSE
        if self._is_dense:
            self._down, self._across = (_cosines(n).to(device) for n in (height, width))

    def forward(self, picture: Tensor) -> Tensor:
        """The frequencies, `(B, 3, H, W)`, the mean first."""
        if self._is_dense:
            return self._down @ picture @ self._across.T
        frequencies: Tensor = _Fast.apply(picture, _forward, _inverse)
        return frequencies

    def inverse(self, frequencies: Tensor) -> Tensor:
        """The picture of these frequencies."""
        if self._is_dense:
            return self._down.T @ frequencies @ self._across
        picture: Tensor = _Fast.apply(frequencies, _inverse, _forward)
        return picture


def _cosines(n: int) -> Tensor:
    """The orthonormal DCT-II of length n as a matrix, `(n, n)`."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    matrix = torch.cos(math.pi / n * (i + 0.5) * k) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.float()


Along = Callable[[Tensor], Tensor]
"""A transform along the last dimension."""


class _Fast(torch.autograd.Function):
    """A transform along both sides. Its transpose is its inverse, so that takes the gradient back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, transform: Along, transpose: Along) -> Tensor:
        ctx.transpose = transpose
        return _along_both_sides(x, transform)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        return _along_both_sides(grads[0], ctx.transpose), None, None


def _along_both_sides(x: Tensor, transform: Along) -> Tensor:
    """One channel after the other, so that an FFT takes the memory of one."""
    result = torch.empty_like(x, memory_format=torch.contiguous_format)
    for channel, out in zip(x.flatten(0, 1), result.flatten(0, 1), strict=True):
        out.copy_(transform(transform(channel).mT).mT)
    return result


def _forward(x: Tensor) -> Tensor:
    n = x.shape[-1]
    spectrum = torch.fft.rfft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    spectrum *= _turn(n, x.device)
    result = torch.cat([spectrum.real, -spectrum.imag[..., 1 : (n + 1) // 2].flip(-1)], -1)
    result *= math.sqrt(2 / n)
    result[..., 0] /= math.sqrt(2)
    return result


def _inverse(x: Tensor) -> Tensor:
    n = x.shape[-1]
    count = n // 2 + 1
    real, imaginary = x[..., :count].clone(), torch.zeros_like(x[..., :count])
    real[..., 0] *= math.sqrt(2)
    imaginary[..., 1:] = -x.flip(-1)[..., : count - 1]
    spectrum = torch.complex(real, imaginary)
    spectrum *= _turn(n, x.device).conj() * math.sqrt(n / 2)
    ordered, result = torch.fft.irfft(spectrum, n), torch.empty_like(x)
    middle = (n + 1) // 2
    result[..., ::2], result[..., 1::2] = ordered[..., :middle], ordered[..., middle:].flip(-1)
    return result


def _turn(n: int, device: torch.device) -> Tensor:
    """exp(-iπk / 2n) for the frequencies of a real FFT, `(n // 2 + 1,)`."""
    angle = torch.arange(n // 2 + 1, dtype=torch.float64, device=device) * (-math.pi / (2 * n))
    return torch.polar(torch.ones_like(angle), angle).to(torch.complex64)
