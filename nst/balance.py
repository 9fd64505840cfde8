"""How much the styles of a pair count: as their weights say, or, with `strength`, each as much as any other.

Departure from Gatys et al.: the style weight may follow from the style, by the parameter `strength`.

The style error of a layer grows with the squares of the entries of the style's Gram matrix, so that with one
style weight a style of high contrast pulls much harder than a pale one. `strength` divides by the contrast of
the style,

    style_weight = 12,000 · strength / √(Σ w_l · mean(A_l²)),

with the targets A_l of the style layers l at the finest scale, and their weights w_l. The error is of fourth
order in the features, and the content error of second order. Divided by the root of the mean squares, which
is of second order, both grow alike with the contrast.

In a mean of several styles, the weight of each is divided by its contrast, so that the Gram matrices in the
mean are of one size. Regions are balanced one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nst.objective import mix_grams
from nst.pair import PreparedPair

_BALANCED = 12_000.0  # the style weight of strength 1 for a style of contrast 1
_LEAST = 1e-6  # contrast: the Gram matrices of an even grey picture are almost 0
Grams = Mapping[str, Tensor]


@dataclass(frozen=True)
class Balance:
    """The style weight of a pair, and how it is divided among its R regions and their styles."""

    style_weight: Tensor
    """`()`, fp32"""
    regions: Tensor
    """`(R,)`: the factor on the style error of each region, beside `style_weight`. R is 1 without regions."""
    styles: Sequence[Sequence[float | Tensor]]
    """For each region the weights of its styles in the mean of their Gram matrices; only ratios count."""


def given(pair: PreparedPair, device: torch.device) -> Balance:
    """The weights that the pair gives."""
    weight = torch.tensor(pair.parameters.style_weight, device=device)
    return Balance(weight, _regions(pair, device), _styles(pair))


def balanced(pair: PreparedPair, strength: float, grams: Sequence[Sequence[Grams]]) -> Balance:
    """Weights by which each style has this strength; `grams` are those of the styles of each region."""
    layers = pair.parameters.style_layers
    shares, inverse = list[Sequence[Tensor]](), list[Tensor]()
    for weights, found in zip(_styles(pair), grams, strict=True):
        shares.append([w / _contrast(each, layers) for w, each in zip(weights, found, strict=True)])
        inverse.append(1 / _contrast(mix_grams(found, shares[-1]), layers))
    factors = torch.stack(inverse)
    regions = _regions(pair, factors.device) * factors / factors.mean()
    return Balance(_BALANCED * strength * factors.mean(), regions, shares)


def _contrast(grams: Grams, layers: Mapping[str, float]) -> Tensor:
    """`(1, C, C)` for each layer -> `()`: the root of the mean squares, summed with the layers' weights."""
    squares = [weight * grams[name].square().mean() for name, weight in layers.items()]
    return torch.stack(squares).sum().sqrt().clamp_min(_LEAST)


def _regions(pair: PreparedPair, device: torch.device) -> Tensor:
    return torch.tensor(pair.regions.strengths if pair.regions else [1.0], device=device)


def _styles(pair: PreparedPair) -> list[list[float]]:
    return [[weight for _, weight in styles] for styles in pair.styles_by_region]
