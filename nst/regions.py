"""Spatial control: Gram matrices of parts of a picture.

After Gatys et al. (2017, arXiv 1611.07865), 'Controlling Perceptual Factors in Neural Style Transfer',
section 4. There, features are multiplied with a guidance channel T_r of each region r, normalised so that its
squares have the sum 1, and the guided Gram matrix is that of the products (eq. 5 and 6).

Departure from Gatys et al.: a mask gives the squares g = T², so that a position that two regions share counts
as much as one that belongs to one region. With C channels, the guided Gram matrix is

    G_r = Σ g_r F Fᵀ / (C · Σ g_r),

and the style error of a layer is the sum of those of its regions, each multiplied by the share of the picture
that the region has, Σ g_r / N. So the style acts on a position as strongly as without regions, however small
its region is. One region of all positions gives the Gram matrix and the error that there are without regions.

Departure from Gatys et al.: the paper lets those positions count whose receptive field lies in the region, or
those whose centre does. Here the guide goes through a network of the same shape as VGG19 whose kernels all
take means. At each layer this gives the mean m and the standard deviation s of the guide over the receptive
field, weighted as the field is, more in its middle than at its ends. The guide of the layer is max(0, min(m,
3 (m - s))). This is 0 where half of the field or more lies outside, m where 0.7 of it or more lies inside,
and g where the guide is even, also if it is even and grey.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from nst.gram import channel_products, flat
from nst.vgg import DEPTHS

_NEGLIGIBLE = 1 / 512  # a position that belongs less to a region is left out of its Gram matrix
_STEEPNESS = 3.0  # how fast positions count more as more of their receptive field lies in the region


@dataclass(frozen=True)
class _Positions:
    """The positions of one region in each picture of a batch, at one layer."""

    index: Tensor  # `(B·K,)`, among the B·N positions of the batch; short lists are filled up with the first
    factor: Tensor  # `(B, K, 1)`: T = √g, 0 where the list was filled up
    total: Tensor  # `(B, 1, 1)`: the sum of g over the whole picture, or 1 if that is 0


class LayerGuide:
    """The guides of a batch of pictures at one layer of the network.

    `shares` is `(B, R)`: which part of a picture each region has, from 0 to 1.
    """

    def __init__(self, guide: Tensor) -> None:
        """`guide` is `(B, R, h, w)` in 0..1."""
        self._guide = guide.where(guide > _NEGLIGIBLE, 0.0)
        self.shares = self._guide.mean((2, 3))
        totals = self._guide.sum((2, 3))
        self._totals = totals.where(totals > 0, 1.0)
        self._whole: list[_Positions] | None = None

    def grams(self, features: Tensor, tile: tuple[slice, slice] | None = None) -> Tensor:
        """`(B, C, h, w)` -> the Gram matrices of all regions, `(B·R, C, C)`, fp32.

        With `tile`, the rows and columns that `features` have of the picture, it is what they add to them.
        """
        if tile:
            regions = self._positions(self._guide[:, :, *tile])
        else:
            self._whole = regions = self._whole or self._positions(self._guide)
        found: Tensor = _GuidedGrams.apply(features, regions)
        return found.flatten(0, 1)

    def _positions(self, guide: Tensor) -> list[_Positions]:
        """The positions of each region in a part of the guide."""
        rows, totals = guide.flatten(2).unbind(1), self._totals[:, :, None, None].unbind(1)
        return [_positions(each, total) for each, total in zip(rows, totals, strict=True)]

    def combined(self, errors: Tensor) -> Tensor:
        """The errors of all regions, `(B·R,)` -> the error of each picture, `(B,)`."""
        return (errors.view_as(self.shares) * self.shares).sum(1)


def picture_guides(guides: Tensor, layers: Collection[str]) -> dict[str, LayerGuide]:
    """The guides of a batch of pictures, `(B, R, H, W)` in 0..1, at each of `layers`."""
    found = _moments(guides, layers)
    return {name: LayerGuide(_inside(mean, s)) for name, (mean, s) in found.items()}


def style_guides(part: Tensor, layers: Collection[str]) -> dict[str, LayerGuide]:
    """The guide of the part of a style picture that is meant, `(1, 1, H, W)` in 0..1, at each of `layers`.

    A part that is smaller than the receptive fields of a layer has all positions that touch it.
    """
    found = {}
    for name, (mean, deviation) in _moments(part, layers).items():
        guide = LayerGuide(_inside(mean, deviation))
        found[name] = guide if guide.shares.any() else LayerGuide(mean / mean.max())
    return found


def _inside(mean: Tensor, deviation: Tensor) -> Tensor:
    """How much positions belong to a region, from the moments of its guide over their receptive fields."""
    return torch.minimum(mean, _STEEPNESS * (mean - deviation)).clamp_min(0)


def _moments(guide: Tensor, layers: Collection[str]) -> dict[str, tuple[Tensor, Tensor]]:
    """`(B, R, H, W)` -> its means and deviations over the receptive fields of each layer, `(B, R, h, w)`."""
    found, moments = {}, torch.cat([guide, guide.square()])
    for layer, pooled in DEPTHS:
        moments = F.avg_pool2d(moments, 3, stride=1, padding=1, count_include_pad=False)
        if layer in layers:
            mean, square = moments.chunk(2)
            found[layer] = mean, (square - mean.square()).clamp_min(0).sqrt()
        if len(found) == len(layers):
            break
        if pooled:
            moments = F.avg_pool2d(moments, 2)
    return found


def _positions(g: Tensor, total: Tensor) -> _Positions:
    """`(B, N)` and its sums over the whole picture, `(B, 1, 1)` -> where it is above 0."""
    found = [each.nonzero()[:, 0] for each in g]
    index = pad_sequence([place + row * g.shape[1] for row, place in enumerate(found)], batch_first=True)
    factor = pad_sequence(
        [each[place].sqrt() for each, place in zip(g, found, strict=True)], batch_first=True
    )
    return _Positions(index.flatten(), factor[:, :, None], total)


class _GuidedGrams(torch.autograd.Function):
    """The Gram matrices in fp32 of the positions of each region: `(B, C, h, w)` -> `(B, R, C, C)`.

    A position is only computed for the regions that it belongs to, so that regions that do not overlap take
    together as long as the whole picture.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, regions: Sequence[_Positions]) -> Tensor:
        ctx.save_for_backward(features)
        ctx.regions = regions
        rows = flat(features)
        found = [channel_products(_chosen(rows, each)) / (rows.shape[2] * each.total) for each in regions]
        return torch.stack(found, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (features,) = ctx.saved_tensors
        b, c, h, w = features.shape
        rows = flat(features)
        result = rows.new_zeros(b * h * w, c)
        for each, grad in zip(ctx.regions, grads[0].unbind(1), strict=True):
            both = (grad + grad.mT) / (c * each.total)
            change = torch.bmm(_chosen(rows, each), both.to(rows.dtype)).mul_(each.factor)
            result.index_add_(0, each.index, change.flatten(0, 1))
        return result.view(b, h, w, c).permute(0, 3, 1, 2), None


def _chosen(rows: Tensor, positions: _Positions) -> Tensor:
    """`(B, N, C)` -> `(B, K, C)`: the features at the positions of a region, multiplied with T."""
    b, _, c = rows.shape
    chosen = rows.reshape(-1, c).index_select(0, positions.index).view(b, -1, c)
    return chosen.mul_(positions.factor)
