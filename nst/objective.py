"""What a stylised picture is asked to be: close to one picture's content and to another's style."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from nst.parameters import Pooling
from nst.vgg import VGG19

_PIECE = 256  # positions


@dataclass(frozen=True)
class Layers:
    """Which layers the two terms look at, how much each weighs, and how the network pools."""

    content: Mapping[str, float]
    style: Mapping[str, float]
    pooling: Pooling = "max"


@dataclass(frozen=True)
class Terms:
    """The unweighted terms of a batch, each `(B,)`, fp32."""

    content: Tensor
    style: Tensor
    tv: Tensor


class _Gram(torch.autograd.Function):
    """The Gram matrix in fp32 of features of any dtype, and no fp32 copy kept for backward."""

    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        ctx.save_for_backward(features)
        return _sums(_flat(features)) / features[0].numel()

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


def _sums(flat: Tensor) -> Tensor:
    """`(B, N, C)` -> `(B, C, C)`: products of channels, summed over positions; fp32, whatever `flat` is."""
    if flat.dtype.itemsize >= 4:
        return torch.bmm(flat.mT, flat)
    if flat.is_cuda:
        return torch.bmm(flat.mT, flat, out_dtype=torch.float32)
    # A processor rounds products of bf16 to bf16: those of short pieces, so that most of it evens out in
    # their sum. What is left, 2e-3 at most, is less than what a search for the same picture varies by.
    b, n, c = flat.shape
    whole = n // _PIECE * _PIECE
    pieces, rest = flat[:, :whole].reshape(-1, _PIECE, c), flat[:, whole:].float()
    sums = torch.bmm(pieces.mT, pieces).view(b, -1, c, c).sum(1, dtype=torch.float32)
    return sums + torch.bmm(rest.mT, rest)


def gram(features: Tensor) -> Tensor:
    """`(B, C, H, W)` -> `(B, C, C)`: F Fᵀ / (C·H·W), fp32 (Gatys et al. 2015, eq. 3, normalised)."""
    result: Tensor = _Gram.apply(features)
    return result


def total_variation(image: Tensor) -> Tensor:
    """`(B, 3, H, W)` -> `(B,)`: mean squared step to the next pixel, down and right.

    After Mahendran and Vedaldi (2015), section 3, with β = 2.
    """
    down = image.diff(dim=2).square().flatten(1)
    right = image.diff(dim=3).square().flatten(1)
    return (down.sum(1) + right.sum(1)) / image[0].numel()


def style_grams(vgg: VGG19, style: Tensor, layers: Layers) -> dict[str, Tensor]:
    """Gram matrices of one style picture `(1, 3, H, W)`, each `(1, C, C)`."""
    with torch.no_grad():
        return {name: gram(found) for name, found in vgg(style, layers.style, layers.pooling)}


def mix_grams(grams: Sequence[Mapping[str, Tensor]], weights: Sequence[float]) -> dict[str, Tensor]:
    """The weighted mean of several styles' Gram matrices; the weights are normalised to sum to one."""
    share = [w / sum(weights) for w in weights]
    return {
        name: sum((s * g[name] for s, g in zip(share, grams, strict=True)), torch.zeros(()))
        for name in grams[0]
    }


def gram_error(found: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference of Gram matrices, `(B, C, C)` each -> `(B,)`."""
    return (found - target).square().mean((1, 2))


class Objective:
    """The terms of a batch of pictures against targets that are computed once.

    Content is the mean squared error of features (Gatys et al. 2015, eq. 1), style the mean squared
    error of Gram matrices summed over layers (eq. 4 and 5); both are means here, not halved sums.
    """

    def __init__(self, vgg: VGG19, content: Tensor, grams: Mapping[str, Tensor], layers: Layers) -> None:
        """`content` is `(B, 3, H, W)` in 0..1; `grams` holds `(B, C, C)` for each style layer."""
        self.vgg, self.layers, self.grams = vgg, layers, grams
        with torch.no_grad():
            self.features = dict(vgg(content, layers.content, layers.pooling))

    def __call__(self, image: Tensor) -> Terms:
        """`(B, 3, H, W)` in 0..1 -> the three terms of each picture."""
        content, style = self.by_layer(
            image, {name: partial(gram_error, target=gram) for name, gram in self.grams.items()}
        )
        return Terms(content, torch.stack(list(style.values())).sum(0), total_variation(image))

    def by_layer(
        self, image: Tensor, errors: Mapping[str, Callable[[Tensor], Tensor]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The content term, and for each style layer in `errors` its weighted share of the style term.

        `errors` says how far a layer's Gram matrices, `(B, C, C)`, are from where they should be, `(B,)`.
        """
        content, style = image.new_zeros(len(image)), dict[str, Tensor]()
        for name, found in self.vgg(image, {*self.layers.content, *errors}, self.layers.pooling):
            if name in errors:
                style[name] = self.layers.style[name] * errors[name](gram(found))
            if name in self.layers.content:
                error = (found - self.features[name]).float().square().mean((1, 2, 3))
                content = content + self.layers.content[name] * error
        return content, style
