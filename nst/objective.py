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
from typing import NamedTuple

import torch
from torch import Tensor

from nst.gram import flat, gram, with_gram
from nst.parameters import Parameters, Pooling
from nst.regions import LayerGuide, picture_guides, style_guides
from nst.tiles import Tile, Tiling, summed
from nst.vgg import VGG19, Tap, in_order


@dataclass(frozen=True)
class Layers:
    """The layers of both terms with their weights, and the pooling of the network."""

    content: Mapping[str, float]
    style: Mapping[str, float]
    pooling: Pooling = "max"

    @classmethod
    def of(cls, parameters: Parameters) -> "Layers":
        """Those that the parameters of a pair name."""
        return cls(parameters.content_layers, parameters.style_layers, parameters.pooling)


class Terms(NamedTuple):
    """A number for each term and each pair of a batch: each `(B,)`, fp32."""

    content: Tensor
    style: Tensor
    tv: Tensor

    def total(self, weights: "Terms") -> Tensor:
        """The sum of the weighted terms, `(B,)`."""
        return weights.content * self.content + weights.style * self.style + weights.tv * self.tv


def total_variation(image: Tensor) -> Tensor:
    """`(B, 3, H, W)` -> `(B,)`: squared differences to the next pixel below and to the right, per pixel.

    After Mahendran and Vedaldi (2015), section 3, with β = 2; divided by 3·H·W.
    """
    down = image.diff(dim=2).square().flatten(1)
    right = image.diff(dim=3).square().flatten(1)
    return (down.sum(1) + right.sum(1)) / image[0].numel()


def style_grams(
    vgg: VGG19,
    style: Tensor,
    layers: Layers,
    part: Tensor | None = None,
    most_pixels: int | None = None,
    on_tile: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """The Gram matrices of one style picture, `(1, 3, H, W)` in 0..1, each `(1, C, C)`, by layer.

    `part`, `(1, 1, H, W)` in 0..1, says which part of the picture is meant; without it, all is. `most_pixels`
    is the number of pixels of a tile, and `on_tile` is called after each tile, see `nst.tiles`.
    """
    guides = style_guides(part, layers.style) if part is not None else {}

    def of_tile(window: Tensor, tile: Tile) -> list[Tensor]:
        return [
            _tile_grams(tap, tile, guides.get(tap.layer)) for tap in vgg(window, layers.style, layers.pooling)
        ]

    tiles = Tiling(style.shape[2], style.shape[3], most_pixels).tiles(layers.style)
    with torch.no_grad():
        return dict(zip(in_order(layers.style), summed(of_tile, style, tiles, on_tile), strict=True))


def _tile_grams(tap: Tap, tile: Tile, guide: LayerGuide | None) -> Tensor:
    """What a tile adds to the Gram matrices of a layer, `(B·R, C, C)`.

    Use the features of `tap` for other purposes only afterwards, see `with_gram`.
    """
    if guide:
        features = tile.without_margin(tap.features, tap.layer)
        return guide.grams(features, None if tile.is_whole else tile.positions(tap.layer))
    if tile.is_whole:
        tap.features, found = with_gram(tap.features)
        return found
    return tile.share(tap.layer) * gram(tile.without_margin(tap.features, tap.layer))


def mix_grams(grams: Sequence[Mapping[str, Tensor]], weights: Sequence[float | Tensor]) -> dict[str, Tensor]:
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

    def __init__(
        self,
        vgg: VGG19,
        content: Tensor,
        grams: Mapping[str, Tensor],
        layers: Layers,
        guides: Tensor | None = None,
        strengths: Tensor | None = None,
        most_pixels: int | None = None,
        on_tile: Callable[[], None] = lambda: None,
    ) -> None:
        """`content` is `(B, 3, H, W)` in 0..1; `grams` are `(B, C, C)` for each style layer.

        With `guides`, `(B, R, H, W)` in 0..1, each of the R regions of a picture has its own style: `grams`
        are then `(B·R, C, C)`, and `strengths`, `(B·R,)`, the factors on their errors.
        `coverage` is the share of each picture that is in some region. With `most_pixels`, the picture is
        computed in tiles that have, with their margins, so many pixels at most. `on_tile` is called
        after each tile of each pass.
        """
        self.vgg, self.layers, self.grams = vgg, layers, grams
        self.regions = 1 if guides is None else guides.shape[1]
        self._strengths = 1.0 if strengths is None else strengths
        self.coverage = 1.0 if guides is None else (guides.sum(1) > 0).float().mean((1, 2))
        self._guides = {} if guides is None else picture_guides(guides, layers.style)
        self._on_tile = on_tile
        self._tiling = Tiling(content.shape[2], content.shape[3], most_pixels)
        self.features = self._content_features(content)

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

        `errors` has a function for each layer, which maps Gram matrices, `(B·R, C, C)`, to their errors,
        `(B·R,)`; R is 1 without regions.
        """
        layers = in_order(errors)
        of_tile = partial(self._of_tile, layers)
        tiles = self._tiling.tiles({*self.layers.content, *layers})
        content, *grams = summed(of_tile, image, tiles, self._on_tile)
        return content, {
            name: self.layers.style[name] * self._style_error(name, found, errors[name])
            for name, found in zip(layers, grams, strict=True)
        }

    def _of_tile(self, layers: Sequence[str], window: Tensor, tile: Tile) -> list[Tensor]:
        """What a tile adds to the content term, `(B,)`, and to the Gram matrices of `layers`."""
        content, grams = window.new_zeros(len(window)), list[Tensor]()
        for tap in self.vgg(window, {*self.layers.content, *layers}, self.layers.pooling):
            name = tap.layer
            if name in layers:
                grams.append(_tile_grams(tap, tile, self._guides.get(name)))
            if name in self.layers.content:
                found = tile.without_margin(tap.features, name)
                rows, columns = tile.positions(name)
                # `flat`, so that the gradient has the memory format of the features.
                error = flat(found - self.features[name][:, :, rows, columns]).float().square().mean((1, 2))
                content = content + self.layers.content[name] * tile.share(name) * error
        return [content, *grams]

    def _style_error(self, name: str, grams: Tensor, error: Callable[[Tensor], Tensor]) -> Tensor:
        if name not in self._guides:
            return error(grams)
        return self._guides[name].combined(self._strengths * error(grams))

    def _content_features(self, content: Tensor) -> dict[str, Tensor]:
        """The features of the contents at each content layer, `(B, C, h, w)`."""
        layers, features = self.layers.content, dict[str, Tensor]()
        with torch.no_grad():
            for tile in self._tiling.tiles(layers):
                for tap in self.vgg(content[:, :, *tile.window], layers, self.layers.pooling):
                    name, found = tap.layer, tile.without_margin(tap.features, tap.layer)
                    if tile.is_whole:
                        features[name] = found
                        continue
                    if name not in features:
                        features[name] = _empty(found, tile.all_positions(name))
                    features[name][:, :, *tile.positions(name)] = found
                if not tile.is_whole:
                    self._on_tile()
        return features


def _empty(like: Tensor, size: tuple[int, int]) -> Tensor:
    """Features without values, `(B, C, h, w)`, in the memory format of those of the network."""
    shape = (*like.shape[:2], *size)
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)
