"""Measures whether `strength` means the same for every style, in comparison with one fixed style weight.

python -m benchmarks.strength PIXELS EPOCHS SHEET [CONTENT...]

Each of twelve styles goes onto each content, with strength 1 and with a fixed style weight: the geometric
mean of the weights that come of strength 1. The pictures of strength 1 go into the contact sheet SHEET.

Two numbers describe a picture. The relative style error is its style error divided by the mean squares of
the style's Gram matrices: which share of the style is missing. The content correlation is that of the
features of relu4_1 with those of the content, each channel without its mean. It is 1 for the content itself,
near 0 for another photograph, and does not depend on the contrast of the style.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.machine import describe
from benchmarks.pictures import resized
from nst import Parameters, PreparedPair, Style, Stylizer, images
from nst.images import Picture
from nst.objective import Layers, style_grams
from nst.vgg import VGG19
from nst.weights import load_weights

CONTENTS = ("cat", "coffee", "astronaut", "rocket", "camera", "hubble")
STYLES = (
    *("strokes", "mosaic", "grass", "brick", "gravel", "hatching"),
    *("watercolour", "nocturne", "woodcut", "points", "marbling", "shapes"),
)
_CELL = 160  # pixels of the sides of a picture in the contact sheet
_LAYER = "relu4_1"


@dataclass(frozen=True)
class Judged:
    """The relative style error and the content correlation of a picture, and the style weight that it had."""

    error: float
    correlation: float
    weight: float


class Judge:
    """Stylizes pictures of one size, and measures them."""

    def __init__(self, size: int, epochs: int) -> None:
        self._size, self._epochs = size, epochs
        self._stylizer = Stylizer()
        self._network = VGG19(load_weights()).to(self._stylizer.device)
        self._power = {style: self._power_of(resized(style, size)) for style in STYLES}

    def picture(self, content: str, style: str, **given: float) -> tuple[Image.Image, Judged]:
        """The picture with this `strength` or `style_weight`, and what it is like."""
        photo = resized(content, self._size)
        chosen = {"epochs": self._epochs, "max_size": self._size, **given}
        styles = [(Style(resized(style, self._size)), 1.0)]
        pair = PreparedPair.prepare(Picture(photo), styles, Parameters.model_validate(chosen))
        (result,) = self._stylizer.run([pair])
        error = result.losses.style / self._power[style]
        correlation = _correlation(self._features(result.image), self._features(photo))
        return result.image, Judged(error, correlation, result.style_weight)

    def _power_of(self, style: Image.Image) -> float:
        grams = style_grams(self._network, self._tensor(style), Layers.of(Parameters()))
        return sum(each.square().mean().item() for each in grams.values())

    def _features(self, image: Image.Image) -> Tensor:
        with torch.no_grad():
            (tap,) = self._network(self._tensor(image), {_LAYER})
        features: Tensor = tap.features.flatten(2)
        return features

    def _tensor(self, image: Image.Image) -> Tensor:
        return images.to_tensor(image)[None].to(self._stylizer.device)


def _correlation(one: Tensor, other: Tensor) -> float:
    first, second = (each - each.mean(2, keepdim=True) for each in (one, other))
    return float((first * second).sum() / (first.norm() * second.norm()))


def _sheet(pictures: dict[tuple[str, str], Image.Image], contents: Sequence[str]) -> Image.Image:
    """A row for each content, a column for each style; the images themselves at the edges."""
    sheet = Image.new("RGB", (_CELL * (len(STYLES) + 1), _CELL * (len(contents) + 1)), "white")
    edges = {(-1, column): resized(style, _CELL) for column, style in enumerate(STYLES)}
    edges |= {(row, -1): resized(content, _CELL) for row, content in enumerate(contents)}
    cells = {
        (contents.index(content), STYLES.index(style)): images.resize(image, images.scaled(image.size, _CELL))
        for (content, style), image in pictures.items()
    }
    for (row, column), image in (edges | cells).items():
        left = _CELL * (column + 1) + (_CELL - image.width) // 2
        sheet.paste(image, (left, _CELL * (row + 1) + (_CELL - image.height) // 2))
    return sheet


def _row(name: str, found: dict[tuple[str, str], Judged], contents: Sequence[str]) -> str:
    """What a table says of a definition of the style weight."""
    errors = np.array([[found[c, s].error for s in STYLES] for c in contents])
    correlations = np.array([[found[c, s].correlation for s in STYLES] for c in contents])
    logs = np.log(errors)
    return (
        f"| {name} | {np.exp(logs.mean()):.3f} | {np.exp(logs.std(1).mean()):.2f} | "
        f"{np.exp(np.ptp(logs, 1).mean()):.1f} | {correlations.mean():.2f} | "
        f"{correlations.std(1).mean():.3f} | {correlations.min():.2f} to {correlations.max():.2f} |"
    )


def main() -> None:
    """Print the table, and write the contact sheet."""
    size, epochs, path, *chosen = sys.argv[1:]
    contents, judge = chosen or list(CONTENTS), Judge(int(size), int(epochs))
    pairs = [(content, style) for content in contents for style in STYLES]
    made = {pair: judge.picture(*pair, strength=1.0) for pair in pairs}
    _sheet({pair: image for pair, (image, _) in made.items()}, contents).save(path, quality=88)
    strong = {pair: judged for pair, (_, judged) in made.items()}
    weight = float(np.exp(np.mean([np.log(judged.weight) for judged in strong.values()])))
    fixed = {pair: judge.picture(*pair, style_weight=weight)[1] for pair in pairs}
    print(f"{size} px, {epochs} epochs, {', '.join(contents)}; {describe()}\n")
    print(
        "| | relative style error: mean | spread over styles, factor | largest / smallest | "
        "content correlation: mean | spread | range |"
    )
    print("|---|---|---|---|---|---|---|")
    print(_row("strength 1", strong, contents))
    print(_row(f"style_weight {weight:.3g}", fixed, contents))


if __name__ == "__main__":
    main()
