"""Sums over a picture, computed tile by tile with exact gradients, in the memory that one tile needs.

Each term of the objective depends on the picture through sums over the positions of a layer: Gram matrices
are sums of products, the content error is a sum of squares. The sum of a tile needs only the pixels that the
positions of this tile see. So a tile is computed with a margin as wide as the receptive field reaches. Its
window begins at a multiple of 16 pixels, so that poolings take the same pixels together as in the whole
picture. At the true edge of the picture there is no margin, and the network pads with zeros as ever.

The first pass adds up the sums of all tiles and keeps nothing else. Autograd then gives the derivative of the
loss with respect to the sums, and the second pass computes each tile once more and takes this derivative back
to its pixels. So each tile is computed forward twice, and backward once. Apart from rounding, the gradient is
that of the whole picture.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from nst.vgg import DEPTHS

_GRID = 16  # pixels of one position after four poolings


@dataclass(frozen=True)
class Span:
    """A tile along one dimension: the pixels from `start` to `end`, with a margin on each side."""

    start: int
    end: int
    window_start: int
    window_end: int


@dataclass(frozen=True)
class Tile:
    """A part of a picture of `height` and `width` pixels."""

    rows: Span
    columns: Span
    height: int
    width: int

    @property
    def is_whole(self) -> bool:
        """Whether this is the whole picture."""
        rows, columns = self.rows, self.columns
        return (rows.end - rows.start, columns.end - columns.start) == (self.height, self.width)

    @property
    def window(self) -> tuple[slice, slice]:
        """The pixels of this tile and its margin."""
        rows, columns = self.rows, self.columns
        return slice(rows.window_start, rows.window_end), slice(columns.window_start, columns.window_end)

    def positions(self, layer: str) -> tuple[slice, slice]:
        """The positions of this tile among those that the whole picture has at a layer."""
        step = STRIDES[layer]
        return (
            slice(self.rows.start // step, self.rows.end // step),
            slice(self.columns.start // step, self.columns.end // step),
        )

    def all_positions(self, layer: str) -> tuple[int, int]:
        """The height and width that the features of the whole picture have at a layer."""
        return self.height // STRIDES[layer], self.width // STRIDES[layer]

    def without_margin(self, features: Tensor, layer: str) -> Tensor:
        """The features `(B, C, h, w)` of the window at a layer, without those of the margin."""
        if self.is_whole:
            return features
        step = STRIDES[layer]
        top, left = self.rows.window_start // step, self.columns.window_start // step
        rows, columns = self.positions(layer)
        return features[:, :, rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]

    def share(self, layer: str) -> float:
        """The part of the positions of the whole picture that this tile has at a layer, from 0 to 1."""
        rows, columns = self.positions(layer)
        height, width = self.all_positions(layer)
        own: int = (rows.stop - rows.start) * (columns.stop - columns.start)
        return own / (height * width)


PerTile = Callable[[Tensor, Tile], Sequence[Tensor]]
"""Maps the window of a tile, `(B, 3, h, w)`, to what this tile adds to each of several sums."""


def summed(
    function: PerTile, image: Tensor, tiles: Sequence[Tile], on_tile: Callable[[], None] = lambda: None
) -> tuple[Tensor, ...]:
    """The sums over all tiles of what `function` returns for the picture, `(B, 3, H, W)`; differentiable.

    `on_tile` is called after each tile of each pass, and ends the computation if it raises an exception. A
    picture of one tile is computed without calling it.
    """
    if len(tiles) == 1:
        return tuple(function(image, tiles[0]))
    sums: tuple[Tensor, ...] = _Summed.apply(image, function, tiles, on_tile)
    return sums


class _Summed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, image: Tensor, function: PerTile, tiles: Sequence[Tile], on_tile: Callable[[], None]
    ) -> tuple[Tensor, ...]:
        ctx.save_for_backward(image)
        ctx.function, ctx.tiles, ctx.on_tile = function, tiles, on_tile
        ctx.set_materialize_grads(False)
        sums: list[Tensor] = []
        for tile in tiles:
            found = function(image[:, :, *tile.window], tile)
            sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else list(found)
            on_tile()
        return tuple(sums)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor, None, None, None]:
        (image,) = ctx.saved_tensors
        total = torch.zeros_like(image)
        given = [index for index, grad in enumerate(grads) if grad is not None]
        for tile in ctx.tiles:
            window = image[:, :, *tile.window].detach().requires_grad_(True)
            with torch.enable_grad():
                found = ctx.function(window, tile)
            chosen, factors = [found[index] for index in given], [grads[index] for index in given]
            (gradient,) = torch.autograd.grad(chosen, window, factors)
            total[:, :, *tile.window] += gradient
            ctx.on_tile()
        return total, None, None, None


class Tiling:
    """Divides a picture into tiles.

    Of all divisions into rows and columns, it takes the one whose tiles have, with their margins, the fewest
    pixels together. A tile has at most `most` pixels; without that number the picture is one tile. A tile is
    never smaller than 16 x 16 pixels and its margin, even if that is more than `most`.
    """

    def __init__(self, height: int, width: int, most: int | None = None) -> None:
        self._height, self._width = height, width
        self._most = height * width if most is None else most
        self._found: dict[int, list[Tile]] = {}

    def tiles(self, layers: Collection[str]) -> list[Tile]:
        """The tiles for sums over the positions of `layers`."""
        margin = max(map(reach, layers))
        if margin not in self._found:
            rows, columns = _divided(self._height, self._width, margin, self._most)
            self._found[margin] = [
                Tile(row, column, self._height, self._width) for row in rows for column in columns
            ]
        return self._found[margin]


def reach(layer: str) -> int:
    """How wide the margin of a tile must be for a layer, in pixels: a multiple of 16."""
    return -(-_REACHES[layer] // _GRID) * _GRID


def _divided(height: int, width: int, margin: int, most: int) -> tuple[list[Span], list[Span]]:
    """The rows and columns of the division with the fewest pixels, among those with small enough tiles."""
    smallest = _spans(height, max(1, height // _GRID), margin), _spans(width, max(1, width // _GRID), margin)
    best = smallest
    across = [_spans(width, count, margin) for count in range(1, len(smallest[1]) + 1)]
    for count in range(1, len(smallest[0]) + 1):
        rows = _spans(height, count, margin)
        # The first number of columns that fits has the fewest margins.
        columns = next((each for each in across if _longest(rows) * _longest(each) <= most), None)
        if columns and _pixels(rows) * _pixels(columns) < _pixels(best[0]) * _pixels(best[1]):
            best = rows, columns
    return best


def _spans(length: int, count: int, margin: int) -> list[Span]:
    """`length` pixels in `count` tiles of about the same length, which begin at multiples of 16.

    Each has one position of the deepest layer at least, because the mean of no positions is not a number.
    """
    positions = length // _GRID
    cuts = [_GRID * round(index * positions / count) for index in range(count)] + [length]
    return [
        Span(start, end, max(0, start - margin), min(length, end + margin)) for start, end in pairwise(cuts)
    ]


def _longest(spans: Sequence[Span]) -> int:
    return max(span.window_end - span.window_start for span in spans)


def _pixels(spans: Sequence[Span]) -> int:
    return sum(span.window_end - span.window_start for span in spans)


def _geometry() -> tuple[dict[str, int], dict[str, int]]:
    """The pixels between two positions of each layer, and those that a position sees to its left."""
    steps, reaches, step, seen = {}, {}, 1, 0
    for layer, pooled in DEPTHS:
        seen += step  # a kernel of 3 x 3 sees one position more on each side
        steps[layer], reaches[layer] = step, seen
        step *= 2 if pooled else 1
    return steps, reaches


STRIDES, _REACHES = _geometry()
