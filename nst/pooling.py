"""Max pooling on a CPU that keeps two bytes for each maximum until the backward pass.

PyTorch keeps the whole input and the place of each maximum in eight bytes. In the first layers that is more
than half of all memory that an evaluation takes.
"""

from typing import Any

import torch
from torch import Tensor

_WINDOW = [2, 2]
_REST = (_WINDOW, [0, 0], [1, 1], False)  # stride, padding, dilation, ceil mode


def pooled(x: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima of windows of 2×2 numbers, `(B, C, H, W)` -> `(B, C, H // 2, W // 2)`, and their distances.

    A distance is how many numbers of a channel lie between the first one of a window and its maximum: 0, 1,
    W or W + 1, as int16. W is at most 32,766.
    """
    maxima, indices = torch.ops.aten.max_pool2d_with_indices(x, _WINDOW, *_REST)
    rows, columns = (torch.arange(0, 2 * n, 2) for n in maxima.shape[2:])
    distances = indices.sub_(rows[:, None] * x.shape[3] + columns).to(torch.int16)
    return maxima, distances


def unpooled(grad: Tensor, distances: Tensor, height: int, width: int) -> Tensor:
    """The gradient of the input, `(B, C, H, W)`, from that of the maxima and their distances."""
    b, c, rows, columns = grad.shape
    found = torch.empty((b, c, height, width), dtype=grad.dtype, memory_format=torch.channels_last)
    found[:, :, 2 * rows :] = 0  # a last row without windows
    indices = distances.to(torch.int64).add_(torch.arange(0, 2 * columns, 2))
    # PyTorch computes each picture of a batch with one thread, so each row of windows is such a picture here.
    for picture, of_maxima, index in zip(found, grad, indices, strict=True):
        windows = _apart(picture[:, : 2 * rows], 2)
        # Of its second argument, only the shape and the memory format are read.
        torch.ops.aten.max_pool2d_with_indices_backward.grad_input(
            _apart(of_maxima, 1), windows, _WINDOW, *_REST, _apart(index, 1), grad_input=windows
        )
    return found


def _apart(x: Tensor, rows: int) -> Tensor:
    """`(C, H, W)` -> `(H / rows, C, rows, W)`, the same memory if channels are last in it."""
    parts = x.permute(1, 2, 0).reshape(-1, rows, x.shape[2], x.shape[0])
    return parts.permute(0, 3, 1, 2)


def max_pool(x: Tensor) -> Tensor:
    """`pooled(x)` without the distances; differentiable."""
    maxima: Tensor = _MaxPool.apply(x)
    return maxima


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        maxima, distances = pooled(x)
        ctx.save_for_backward(distances)
        ctx.size = x.shape[2:]
        return maxima

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (distances,) = ctx.saved_tensors
        return unpooled(grads[0], distances, *ctx.size)
