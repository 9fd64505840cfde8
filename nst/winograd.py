"""3×3 convolutions in fp32 with a quarter of the multiplications, for CPUs.

Winograd's minimal filtering algorithm F(4×4, 3×3), in the form of Lavin and Gray (2016, arXiv 1509.09308),
section 4.3. A linear transform takes each input tile of 6×6 pixels, and each kernel, to a basis in which the
convolution is an elementwise product. For each of the 36 elements, the sum over the input channels is then
one matrix product over all tiles and channels. The kernels never change here, so each is transformed only
once.

The result has a relative error of about 1e-5. PyTorch's own CPU convolutions are direct ones: a whole
evaluation of the objective takes 0.72 times as long with this algorithm as with them.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nst.pooling import Places, pooled, unpooled

BLOCK = 2**20  # transformed numbers that each thread processes at once, so that they stay in its cache

# The matrix G of the paper.
_KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)


class WinogradReLU:
    """A 3×3 convolution with zero padding, followed by a ReLU; only its input gets a gradient."""

    def __init__(self, kernel: Tensor, bias: Tensor, block: int = BLOCK) -> None:
        """`kernel` is `(K, C, 3, 3)` and `bias` `(K,)`, both fp32 on the CPU.

        Rows of tiles are processed in blocks of at most about `block` transformed numbers for each thread,
        but of one row at least.
        """
        self._kernel, self._bias, self._block = kernel, bias, block

    @cached_property
    def _forward_kernels(self) -> Tensor:
        return _transform_kernels(self._kernel)

    @cached_property
    def _backward_kernels(self) -> Tensor:
        return _transform_kernels(self._kernel.transpose(0, 1).flip(2, 3))

    def __call__(self, x: Tensor, pool: bool = False) -> Tensor:
        """`(B, C, H, W)` -> `(B, K, H, W)`, channels last in memory. With `pool`, a max pooling follows."""
        # Transformed kernels take four times the memory, so those for the gradient are made only when needed.
        backward = self._backward_kernels if torch.is_grad_enabled() and x.requires_grad else None
        kernels = self._forward_kernels, backward
        result: Tensor = _ConvolutionReLU.apply(x, *kernels, self._bias, self._block, pool)
        return result


class _ConvolutionReLU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        kernels: Tensor,
        backward_kernels: Tensor | None,
        bias: Tensor,
        block: int,
        pool: bool,
    ) -> Tensor:
        padded = _padded_zeros(x)
        _interior(padded, x).copy_(x)
        result = _cropped(_convolve(padded, kernels, bias, block).relu_(), x)
        ctx.block, ctx.size, distances = block, result.shape[2:], None
        if pool:
            result, (distances, *_) = pooled(result)
        ctx.save_for_backward(result, backward_kernels, distances)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None, None]:
        result, kernels, distances = ctx.saved_tensors
        if distances is None:
            padded = _padded_zeros(result)
            torch.ops.aten.threshold_backward(grads[0], result, 0, grad_input=_interior(padded, result))
        else:
            # Where a maximum is 0, so is the derivative of the ReLU.
            grad = torch.ops.aten.threshold_backward(grads[0], result, 0)
            result = unpooled(grad, Places(distances, *ctx.size))
            padded = _padded_zeros(result)
            _interior(padded, result).copy_(result)
        grad = _convolve(padded, kernels, kernels.new_zeros(kernels.shape[2]), ctx.block)
        return _cropped(grad, result), None, None, None, None, None


def _transform_kernels(kernel: Tensor) -> Tensor:
    """G g Gᵀ of the paper: `(K, C, 3, 3)` -> `(36, C, K)`, computed in double precision."""
    g = torch.tensor(_KERNEL_TRANSFORM, dtype=torch.float64)
    k, c = kernel.shape[:2]
    return torch.einsum("ia,kcab,jb->ijck", g, kernel.double(), g).reshape(36, c, k).float().contiguous()


def _padded_zeros(like: Tensor) -> Tensor:
    """Zeros for a `(B, C, H, W)` tensor with a border, rounded up to whole tiles of 4×4 pixels.

    The shape is `(B, rows of tiles + 1, 4, columns of tiles + 1, 4, C)`.
    """
    b, c, h, w = like.shape
    return like.new_zeros(b, -(-h // 4) + 1, 4, -(-w // 4) + 1, 4, c)


def _interior(padded: Tensor, like: Tensor) -> Tensor:
    """The view `(B, C, H, W)` of `padded` that holds the tensor itself, behind one pixel of padding."""
    pixels = padded.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
    return pixels[:, :, 1 : like.shape[2] + 1, 1 : like.shape[3] + 1]


def _cropped(whole: Tensor, like: Tensor) -> Tensor:
    """Whole tiles, cropped to the height and width of `like`; copied only if there is something to crop."""
    return whole[:, :, : like.shape[2], : like.shape[3]].contiguous(memory_format=torch.channels_last)


def _convolve(padded: Tensor, kernels: Tensor, bias: Tensor, block: int) -> Tensor:
    """Convolve `padded`, block by block -> `(B, K, H, W)`, with H and W of whole tiles, channels last."""
    b, rows, _, columns, _, c = padded.shape
    k = kernels.shape[2]
    result = padded.new_empty(b, rows - 1, 4, columns - 1, 4, k)
    step = max(1, block * torch.get_num_threads() // (36 * (columns - 1) * max(c, k)))
    for picture, out in zip(padded, result, strict=True):
        for row in range(0, rows - 1, step):
            part = out[row : row + step]
            tiles = picture[row : row + len(part) + 1].permute(1, 3, 0, 2, 4).contiguous()
            torch.add(_convolve_tiles(tiles, kernels).permute(2, 0, 3, 1, 4), bias, out=part)
    return result.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def _convolve_tiles(phases: Tensor, kernels: Tensor) -> Tensor:
    """Convolve n × m tiles: `(4, 4, n + 1, m + 1, C)` -> `(4, 4, n, m, K)`.

    Pixel `(4 i + p, 4 j + q)` is at `[p, q, i, j]`, so that the same pixel of all tiles is one slice.
    """
    n, m, c, k = phases.shape[2] - 1, phases.shape[3] - 1, *kernels.shape[1:]
    half = phases.new_empty(6, 4, n, m + 1, c)
    _transform_input([phases[a % 4, :, a // 4 : a // 4 + n] for a in range(6)], half)
    both = phases.new_empty(6, 6, n, m, c)
    _transform_input([half[:, a % 4, :, a // 4 : a // 4 + m] for a in range(6)], both.transpose(0, 1))
    products = torch.bmm(both.view(36, n * m, c), kernels).view(6, 6, n, m, k)
    half = phases.new_empty(4, 6, n, m, k)
    _transform_output(products, half)
    result = phases.new_empty(4, 4, n, m, k)
    _transform_output(half.transpose(0, 1), result.transpose(0, 1))
    return result


def _transform_input(d: Sequence[Tensor], out: Tensor) -> None:
    """Bᵀd of the paper along one dimension, with common partial sums computed once: 6 slices -> 6 slices."""
    torch.add(d[4], d[2], alpha=-5, out=out[0]).add_(d[0], alpha=4)
    torch.add(d[5], d[3], alpha=-5, out=out[5]).add_(d[1], alpha=4)
    even, odd = torch.add(d[4], d[2], alpha=-4), torch.add(d[3], d[1], alpha=-4)
    torch.add(even, odd, out=out[1])
    torch.sub(even, odd, out=out[2])
    torch.sub(d[4], d[2], out=even)
    torch.sub(d[3], d[1], out=odd)
    torch.add(even, odd, alpha=2, out=out[3])
    torch.sub(even, odd, alpha=2, out=out[4])


def _transform_output(m: Tensor, out: Tensor) -> None:
    """Aᵀm of the paper along one dimension, with common partial sums computed once: 6 slices -> 4 slices."""
    small, large = m[1] + m[2], m[3] + m[4]
    torch.add(small, large, out=out[0]).add_(m[0])
    torch.add(small, large, alpha=4, out=out[2])
    torch.sub(m[1], m[2], out=small)
    torch.sub(m[3], m[4], out=large)
    torch.add(small, large, alpha=2, out=out[1])
    torch.add(small, large, alpha=8, out=out[3]).add_(m[5])
