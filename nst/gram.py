"""The Gram matrix of features, in fp32 also where the features are bf16."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_CHUNK = 256  # positions whose bf16 products are summed in bf16


class _Gram(torch.autograd.Function):
    """The features themselves, and their Gram matrix in fp32. Backward keeps no fp32 copy of the features."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(features)
        ctx.set_materialize_grads(False)
        # `view_as` changes the strides of a single picture, and convolutions then take another memory format.
        same = torch.ops.aten.alias(features)
        return same, channel_products(flat(features)) / features[0].numel()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> Tensor | None:
        later, of_gram = grads
        if of_gram is None:
            return later
        (features,) = ctx.saved_tensors
        b, c, h, w = features.shape
        both = ((of_gram + of_gram.mT) / features[0].numel()).to(features.dtype)
        if later is None:
            rows = torch.bmm(flat(features), both)
        else:
            # With AMX, the sum takes a hundred times longer where a gradient has another memory format.
            later = later.contiguous(memory_format=torch.channels_last)
            rows = flat(later).baddbmm_(flat(features), both)
        return rows.view(b, h, w, c).permute(0, 3, 1, 2)


def flat(features: Tensor) -> Tensor:
    """`(B, C, H, W)` -> `(B, H·W, C)`."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def channel_products(rows: Tensor) -> Tensor:
    """`(B, N, C)` of any dtype -> `(B, C, C)` in fp32: products of channels, summed over positions."""
    if rows.dtype.itemsize >= 4:
        return torch.bmm(rows.mT, rows)
    if rows.is_cuda:
        return torch.bmm(rows.mT, rows, out_dtype=torch.float32)
    # On a CPU, a matrix product of bf16 is rounded to bf16. Here each product sums a chunk of positions only,
    # and the chunks are summed in fp32, so that most rounding errors cancel. The rest, a relative error of
    # 2e-3 at most, is less than the differences between two searches for the same picture. It saves 4 % of
    # the time.
    b, n, c = rows.shape
    whole = n // _CHUNK * _CHUNK
    chunks, rest = rows[:, :whole].reshape(-1, _CHUNK, c), rows[:, whole:].float()
    sums = torch.bmm(chunks.mT, chunks).view(b, -1, c, c).sum(1, dtype=torch.float32)
    return sums + torch.bmm(rest.mT, rest)


def gram(features: Tensor) -> Tensor:
    """`(B, C, H, W)` -> `(B, C, C)`, fp32: F Fᵀ / (C·H·W), eq. 3 divided by the number of features."""
    _, result = with_gram(features)
    return result


def with_gram(features: Tensor) -> tuple[Tensor, Tensor]:
    """The same features, to be used for all that is computed from them later, and `gram(features)`.

    The gradient of the Gram matrix is added in place to the gradient of what is computed later. This saves a
    tensor as large as the features, and the time to write and read it. The latter gradient must be a tensor
    that nobody else uses: that of a convolution, a pooling or a squared error is, that of a sum is not.
    """
    same, result = _Gram.apply(features)
    return same, result
