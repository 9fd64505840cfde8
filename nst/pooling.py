"""Max pooling on a CPU that keeps two bytes for each maximum until the backward pass.

PyTorch keeps the whole input and the place of each maximum in eight bytes. In the first layers that is more
than half of all memory that an evaluation takes.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

_WINDOW = [2, 2]
_REST = (_WINDOW, [0, 0], [1, 1], False)  # stride, padding, dilation, ceil mode


class Places(NamedTuple):
    """Where the maxima of an input were: their distances from the first number of their windows.

    A distance is 0, 1, W or W + 1, where W is the width of the input, at most 32,766.
    """

    distances: Tensor  # (B, C, H // 2, W // 2), int16
    height: int
    width: int

    def _corners(self) -> Tensor:
        """The first number of each window, as an index into the numbers of a channel."""
        rows, columns = (torch.arange(0, 2 * n, 2) for n in self.distances.shape[2:])
        return rows[:, None] * self.width + columns


def pooled(x: Tensor) -> tuple[Tensor, Places]:
    """The maxima of windows of 2×2 numbers, `(B, C, H, W)` -> `(B, C, H // 2, W // 2)`, and their places."""
    maxima, indices = torch.ops.aten.max_pool2d_with_indices(x, _WINDOW, *_REST)
    height, width = x.shape[2:]
    places = Places(indices, height, width)
    return maxima, places._replace(distances=indices.sub_(places._corners()).to(torch.int16))


def unpooled(grad: Tensor, places: Places) -> Tensor:
    """The gradient of the input, from that of the maxima."""
    indices = places.distances.to(torch.int64).add_(places._corners())
    shape = (*grad.shape[:2], places.height, places.width)
    # Only the shape and the memory format of the input are read, so nothing is written into this memory.
    like = torch.empty(shape, dtype=grad.dtype, memory_format=torch.channels_last)
    found: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(grad, like, _WINDOW, *_REST, indices)
    return found


def max_pool(x: Tensor) -> Tensor:
    """`pooled(x)` without the places; differentiable."""
    maxima: Tensor = _MaxPool.apply(x)
    return maxima


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        maxima, places = pooled(x)
        ctx.save_for_backward(places.distances)
        ctx.size = x.shape[2:]
        return maxima

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (distances,) = ctx.saved_tensors
        return unpooled(grads[0], Places(distances, *ctx.size))
