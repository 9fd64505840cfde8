"""How much the styles of a pair count: as their weights say, or, with `strength`, each as much as any other.

The style error of a layer grows with the squares of the entries of the style's Gram matrix. With one fixed
style weight, a style of high contrast pulls 70 times as hard as a pale one. `strength` divides by the power
of the style, the style error of a picture without any texture:

    style_weight = 60,000 · strength / Σ w_l · mean(A_l²)

over the style layers l with their weights w_l and the targets A_l, at the finest scale. In a mean of several
styles, each is divided by the root of its power, so that the Gram matrices in the mean are of one size.
Regions are balanced one by one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nst.objective import mix_grams
from nst.pair import PreparedPair

_BALANCED = 60_000.0  # the style weight of strength 1 for a style of power 1
_LARGEST = 1e12  # of style weights: the Gram matrices of a style without contrast are almost 0
Grams = Mapping[str, Tensor]


@dataclass(frozen=True)
class Balance:
    """The style weight of a pair, and how it is divided among its R regions and their styles."""

    style_weight: Tensor
    """`()`, fp32"""
    regions: Tensor
    """`(R,)`: the factor on the style error of each region; their mean is 1. R is 1 without regions."""
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
        shares.append([w / _power(each, layers).sqrt() for w, each in zip(weights, found, strict=True)])
        inverse.append((1 / _power(mix_grams(found, shares[-1]), layers)).clamp_max(_LARGEST))
    factors = torch.stack(inverse)
    regions = _regions(pair, factors.device) * factors / factors.mean()
    return Balance(_BALANCED * strength * factors.mean(), regions, shares)


def _power(grams: Grams, layers: Mapping[str, float]) -> Tensor:
    """`(1, C, C)` for each layer -> `()`: the mean squares, summed with the weights of the layers."""
    squares = [weight * grams[name].square().mean() for name, weight in layers.items()]
    return torch.stack(squares).sum().clamp_min(1 / _LARGEST)


def _regions(pair: PreparedPair, device: torch.device) -> Tensor:
    return torch.tensor(pair.regions.strengths if pair.regions else [1.0], device=device)


def _styles(pair: PreparedPair) -> list[list[float]]:
    return [[weight for _, weight in styles] for styles in pair.styles_by_region]
