"""3×3 convolutions in fp32 with a quarter of the multiplications, for CPUs.

Winograd's minimal filtering algorithm F(4×4, 3×3), in the form of Lavin and Gray (2016, arXiv 1509.09308),
section 4.3. A linear transform takes each input tile of 6×6 pixels, and each kernel, to a basis in which the
convolution is an elementwise product. For each of the 36 elements, the sum over the input channels is then
one matrix product over all tiles and channels. The kernels never change here, so each is transformed only
once.

The transforms of the paper are products with small matrices on both sides of a tile. Here both sides are one
matrix, of 36×36 or 16×36 numbers, so that a transform is one matrix product, too.

The result has a relative error of about 1e-5. PyTorch's own CPU convolutions are direct ones: a whole
evaluation of the objective takes 0.7 (AMD EPYC with AVX2) to 0.9 (Intel Xeon with AVX-512) times as long with
this algorithm as with them.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nst.pooling import pooled, unpooled

_BLOCK = 2**19  # transformed numbers that each thread processes at once, so that they stay in its cache

# The matrices Bᵀ, G and Aᵀ of the paper.
_INPUT_TRANSFORM = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_KERNEL_TRANSFORM = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OUTPUT_TRANSFORM = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


def _of_both_axes(matrix: Sequence[Sequence[float]]) -> Tensor:
    """The matrix that applies `matrix` to both axes of a tile whose pixels are in one row, fp64."""
    axis = torch.tensor(matrix, dtype=torch.float64)
    return torch.kron(axis, axis)


_INTO, _OUT_OF = (_of_both_axes(matrix).float() for matrix in (_INPUT_TRANSFORM, _OUTPUT_TRANSFORM))


class WinogradReLU:
    """A 3×3 convolution with zero padding, followed by a ReLU; only its input gets a gradient."""

    def __init__(self, kernel: Tensor, bias: Tensor, block: int = _BLOCK) -> None:
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
            result, distances = pooled(result)
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
            result = unpooled(grad, distances, *ctx.size)
            padded = _padded_zeros(result)
            _interior(padded, result).copy_(result)
        grad = _convolve(padded, kernels, kernels.new_zeros(kernels.shape[2]), ctx.block)
        return _cropped(grad, result), None, None, None, None, None


def _transform_kernels(kernel: Tensor) -> Tensor:
    """G g Gᵀ of the paper: `(K, C, 3, 3)` -> `(36, C, K)`, computed in double precision."""
    transform = _of_both_axes(_KERNEL_TRANSFORM)
    found = torch.einsum("tp,kcp->tck", transform, kernel.double().flatten(2))
    return found.float().contiguous()


def _padded_zeros(like: Tensor) -> Tensor:
    """Zeros for a `(B, C, H, W)` tensor with a border of one pixel: `(B, height, width, C)`.

    Beside the border, height and width are rounded up to whole tiles of 4×4 pixels.
    """
    b, c, h, w = like.shape
    return like.new_zeros(b, -(-h // 4) * 4 + 2, -(-w // 4) * 4 + 2, c)


def _interior(padded: Tensor, like: Tensor) -> Tensor:
    """The view `(B, C, H, W)` of `padded` that holds the tensor itself, inside the border."""
    return padded[:, 1 : like.shape[2] + 1, 1 : like.shape[3] + 1].permute(0, 3, 1, 2)


def _cropped(whole: Tensor, like: Tensor) -> Tensor:
    """Whole tiles, cropped to the height and width of `like`; copied only if there is something to crop."""
    return whole[:, :, : like.shape[2], : like.shape[3]].contiguous(memory_format=torch.channels_last)


def _convolve(padded: Tensor, kernels: Tensor, bias: Tensor, block: int) -> Tensor:
    """Convolve `padded`, block by block -> `(B, K, H, W)`, with H and W of whole tiles, channels last."""
    tiles = padded.unfold(1, 6, 4).unfold(2, 6, 4)  # (B, rows, columns, C, 6, 6)
    b, rows, columns, c = tiles.shape[:4]
    k = kernels.shape[2]
    result = padded.new_empty(b, rows, 4, columns, 4, k)
    step = max(1, block * torch.get_num_threads() // (36 * columns * max(c, k)))
    for picture, out in zip(tiles, result, strict=True):
        for row in range(0, rows, step):
            pixels = picture[row : row + step].permute(3, 4, 0, 1, 2).reshape(36, -1)
            transformed = (_INTO @ pixels).view(36, -1, c)
            products = torch.bmm(transformed, kernels).view(36, -1)
            part = out[row : row + step]
            found = (_OUT_OF @ products).view(4, 4, len(part), columns, k)
            torch.add(found.permute(2, 0, 3, 1, 4), bias, out=part)
    return result.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)
