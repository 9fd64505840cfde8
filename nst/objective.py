"""The terms of the objective: content error, style error and total variation.

Departure from Gatys et al.: the content layer is relu4_1 by default instead of relu4_2, and style layers are
summed with weight 1 instead of 1/5.

Departure from Gatys et al.: errors are means instead of halved sums, and Gram matrices are divided by the
number of features, so that weights mean the same at every picture size. With C channels and N = H·W
positions, the content error is 2 / (C·N) times that of eq. 1, and the style error of a layer is 4 / C² times
that of eq. 4, where picture and style are of one size.

Departure from Gatys et al.: a total-variation term can be added; its weight is 0 by default.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nst.parameters import Pooling
from nst.vgg import VGG19

_CHUNK = 256  # positions whose bf16 products are summed in bf16


@dataclass(frozen=True)
class Layers:
    """The layers of both terms with their weights, and the pooling of the network."""

    content: Mapping[str, float]
    style: Mapping[str, float]
    pooling: Pooling = "max"


@dataclass(frozen=True)
class Terms:
    """A number for each term and each pair of a batch: each `(B,)`, fp32."""

    content: Tensor
    style: Tensor
    tv: Tensor


class _Gram(torch.autograd.Function):
    """The Gram matrix in fp32 of features of any dtype. Backward keeps no fp32 copy of the features."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        return _channel_products(_flat(features)) / features[0].numel()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (features,) = ctx.saved_tensors
        b, c, h, w = features.shape
        both = (grads[0] + grads[0].mT) / features[0].numel()
        grad = torch.bmm(_flat(features), both.to(features.dtype))
        return grad.view(b, h, w, c).permute(0, 3, 1, 2)


def _flat(features: Tensor) -> Tensor:
    """`(B, C, H, W)` -> `(B, H·W, C)`."""
    return features.permute(0, 2, 3, 1).flatten(1, 2)


def _channel_products(flat: Tensor) -> Tensor:
    """`(B, N, C)` of any dtype -> `(B, C, C)` in fp32: products of channels, summed over positions."""
    if flat.dtype.itemsize >= 4:
        return torch.bmm(flat.mT, flat)
    if flat.is_cuda:
        return torch.bmm(flat.mT, flat, out_dtype=torch.float32)
    # On a CPU, a matrix product of bf16 is rounded to bf16. Here each product sums a chunk of positions only,
    # and the chunks are summed in fp32, so that most rounding errors cancel. The rest, a relative error of
    # 2e-3 at most, is less than the differences between two searches for the same picture. It saves 4 % of
    # the time.
    b, n, c = flat.shape
    whole = n // _CHUNK * _CHUNK
    chunks, rest = flat[:, :whole].reshape(-1, _CHUNK, c), flat[:, whole:].float()
    sums = torch.bmm(chunks.mT, chunks).view(b, -1, c, c).sum(1, dtype=torch.float32)
    return sums + torch.bmm(rest.mT, rest)


def gram(features: Tensor) -> Tensor:
    """`(B, C, H, W)` -> `(B, C, C)`, fp32: F Fᵀ / (C·H·W), eq. 3 divided by the number of features."""
    result: Tensor = _Gram.apply(features)
    return result


def total_variation(image: Tensor) -> Tensor:
    """`(B, 3, H, W)` -> `(B,)`: squared differences to the next pixel below and to the right, per pixel.

    After Mahendran and Vedaldi (2015), section 3, with β = 2; divided by 3·H·W.
    """
    down = image.diff(dim=2).square().flatten(1)
    right = image.diff(dim=3).square().flatten(1)
    return (down.sum(1) + right.sum(1)) / image[0].numel()


def style_grams(vgg: VGG19, style: Tensor, layers: Layers) -> dict[str, Tensor]:
    """The Gram matrices of one style picture, `(1, 3, H, W)` in 0..1, each `(1, C, C)`, by layer."""
    with torch.no_grad():
        return {name: gram(found) for name, found in vgg(style, layers.style, layers.pooling)}


def mix_grams(grams: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of several styles' Gram matrices, by layer. Weights are divided by their sum."""
    share = [w / sum(weights) for w in weights]
    return {
        name: sum((s * g[name] for s, g in zip(share, grams, strict=True)), torch.zeros(()))
        for name in grams[0]
    }


def gram_error(found: Tensor, target: Tensor) -> Tensor:
    """The mean squared difference of Gram matrices, `(B, C, C)` each -> `(B,)` (eq. 4, normalised)."""
    return (found - target).square().mean((1, 2))


class Objective:
    """The terms of a batch of pictures, compared with targets that are computed once.

    The content term is the mean squared error of features (eq. 1), the style term that of Gram matrices
    (eq. 4); both are weighted sums over layers (eq. 5).
    """

    def __init__(self, vgg: VGG19, content: Tensor, grams: Mapping[str, Tensor], layers: Layers) -> None:
        """`content` is `(B, 3, H, W)` in 0..1; `grams` are `(B, C, C)` for each style layer."""
        self.vgg, self.layers, self.grams = vgg, layers, grams
        with torch.no_grad():
            self.features = dict(vgg(content, layers.content, layers.pooling))

    def __call__(self, image: Tensor) -> Terms:
        """The three terms of each picture, `(B, 3, H, W)` in 0..1."""
        content, style = self.by_layer(
            image, {name: partial(gram_error, target=gram) for name, gram in self.grams.items()}
        )
        return Terms(content, torch.stack(list(style.values())).sum(0), total_variation(image))

    def by_layer(
        self, image: Tensor, errors: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The content term, `(B,)`, and for each style layer in `errors` its weighted error, `(B,)`.

        `errors` has a function for each layer, which maps Gram matrices, `(B, C, C)`, to their errors,
        `(B,)`.
        """
        content, style = image.new_zeros(len(image)), dict[str, Tensor]()
        for name, found in self.vgg(image, {*self.layers.content, *errors}, self.layers.pooling):
            if name in errors:
                style[name] = self.layers.style[name] * errors[name](gram(found))
            if name in self.layers.content:
                error = (found - self.features[name]).float().square().mean((1, 2, 3))
                content = content + self.layers.content[name] * error
        return content, style
