"""3×3 convolutions in fp32 with a quarter of the multiplications, for processors.

Winograd's F(4×4, 3×3) as of Lavin and Gray (2016, arXiv 1509.09308), section 4.3: tiles of 6×6 and kernels
go into a basis where a convolution is a product number by number, so that all channels and tiles of a
position are one matrix product. The kernels never change here, so they are transformed once; the relative
error is about 1e-5. torch's own convolutions on a processor are direct ones.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

_BLOCK = 2**20  # numbers that each thread has in hand at once, so that they stay in its caches

_KERNEL_BASIS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


class WinogradReLU:
    """A 3×3 convolution with zero padding and the ReLU behind it; its weights get no gradient."""

    def __init__(self, kernel: Tensor, bias: Tensor) -> None:
        """`kernel` is `(K, C, 3, 3)`, `bias` `(K,)`."""
        self._kernel, self._bias = kernel, bias

    @cached_property
    def _forward_kernels(self) -> Tensor:
        return _transformed(self._kernel)

    @cached_property
    def _backward_kernels(self) -> Tensor:
        return _transformed(self._kernel.transpose(0, 1).flip(2, 3))

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` -> `(B, K, H, W)`, channels last in memory."""
        # What no gradient will ask for is not transformed: kernels grow fourfold.
        backward = self._backward_kernels if torch.is_grad_enabled() and x.requires_grad else None
        result: Tensor = _ConvolutionReLU.apply(x, self._forward_kernels, backward, self._bias)
        return result


class _ConvolutionReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kernels: Tensor, backward_kernels: Tensor | None, bias: Tensor
    ) -> Tensor:
        padded = _padded(x)
        _inside(padded, x).copy_(x)
        result = _cut(_convolve(padded, kernels, bias).relu_(), x)
        ctx.save_for_backward(result, backward_kernels)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        result, kernels = ctx.saved_tensors
        padded = _padded(result)
        inside = _inside(padded, result)
        torch.ops.aten.threshold_backward(grads[0], result, 0, grad_input=inside)
        grad = _convolve(padded, kernels, kernels.new_zeros(kernels.shape[2]))
        return _cut(grad, result), None, None, None


def _transformed(kernel: Tensor) -> Tensor:
    """`(K, C, 3, 3)` -> `(36, C, K)`."""
    basis = torch.tensor(_KERNEL_BASIS, dtype=torch.float64)
    k, c = kernel.shape[:2]
    return (
        torch.einsum("ia,kcab,jb->ijck", basis, kernel.double(), basis).reshape(36, c, k).float().contiguous()
    )


def _padded(like: Tensor) -> Tensor:
    """Zeros in which a `(B, C, H, W)` picture is followed by as much as makes whole tiles.

    As `(B, rows of tiles + 1, 4, columns of tiles + 1, 4, C)`.
    """
    b, c, h, w = like.shape
    return like.new_zeros(b, -(-h // 4) + 1, 4, -(-w // 4) + 1, 4, c)


def _inside(padded: Tensor, like: Tensor) -> Tensor:
    """Where the picture itself goes, `(B, C, H, W)`; the padding of the convolution lies before it."""
    pixels = padded.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
    return pixels[:, :, 1 : like.shape[2] + 1, 1 : like.shape[3] + 1]


def _cut(whole: Tensor, like: Tensor) -> Tensor:
    """Without what lies beyond the picture; a copy only where something does."""
    return whole[:, :, : like.shape[2], : like.shape[3]].contiguous(memory_format=torch.channels_last)


def _convolve(padded: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """`padded` with `kernels` -> `(B, K, H, W)`, of whole tiles, channels last."""
    b, rows, _, columns, _, c = padded.shape
    k = kernels.shape[2]
    result = padded.new_empty(b, rows - 1, 4, columns - 1, 4, k)
    block = max(1, _BLOCK * torch.get_num_threads() // (36 * (columns - 1) * max(c, k)))
    for picture, out in zip(padded, result, strict=True):
        for row in range(0, rows - 1, block):
            some = out[row : row + block]
            tiles = picture[row : row + len(some) + 1].permute(1, 3, 0, 2, 4).contiguous()
            torch.add(_block(tiles, kernels).permute(2, 0, 3, 1, 4), bias, out=some)
    return result.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _block(phases: Tensor, kernels: Tensor) -> Tensor:
    """Rows of tiles, `(4, 4, n + 1, m + 1, C)`, to what they give, `(4, 4, n, m, K)`.

    Pixel `(4 i + p, 4 j + q)` lies at `[p, q, i, j]`, so that all tiles' pixels of one place are one slice.
    """
    n, m, c, k = phases.shape[2] - 1, phases.shape[3] - 1, *kernels.shape[1:]
    half = phases.new_empty(6, 4, n, m + 1, c)
    _to_basis([phases[a % 4, :, a // 4 : a // 4 + n] for a in range(6)], half)
    both = phases.new_empty(6, 6, n, m, c)
    _to_basis([half[:, a % 4, :, a // 4 : a // 4 + m] for a in range(6)], both.transpose(0, 1))
    products = torch.bmm(both.view(36, n * m, c), kernels).view(6, 6, n, m, k)
    half = phases.new_empty(4, 6, n, m, k)
    _from_basis(products, half)
    result = phases.new_empty(4, 4, n, m, k)
    _from_basis(half.transpose(0, 1), result.transpose(0, 1))
    return result


def _to_basis(d: Sequence[Tensor], out: Tensor) -> None:
    """Bᵀd of the paper, in fewer sums."""
    torch.add(d[4], d[2], alpha=-5, out=out[0]).add_(d[0], alpha=4)
    torch.add(d[5], d[3], alpha=-5, out=out[5]).add_(d[1], alpha=4)
    even, odd = torch.add(d[4], d[2], alpha=-4), torch.add(d[3], d[1], alpha=-4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(d[4], d[2], out=even)
    torch.sub(d[3], d[1], out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])


def _from_basis(m: Tensor, out: Tensor) -> None:
    """Aᵀm of the paper, in fewer sums."""
    small, large = m[1] + m[2], m[3] + m[4]
    torch.add(small, large, out=out[0]).add_(m[0])
    torch.add(small, large, alpha=4, out=out[2])
    torch.sub(m[1], m[2], out=small)
    torch.sub(m[3], m[4], out=large)
    torch.add(small, large, alpha=2, out=out[1])
    torch.add(small, large, alpha=8, out=out[3]).add_(m[5])
