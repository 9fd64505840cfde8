"""Measures what regions cost, and how well they keep two styles apart.

python -m benchmarks.regions [PIXELS [EPOCHS]]
"""

import sys
import time

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from benchmarks.machine import describe
from benchmarks.pictures import resized
from nst import Parameters, PreparedPair, Style, Stylizer
from nst.canvas import Canvas
from nst.guide import Guide
from nst.images import Picture, to_tensor

_ROUNDS, _EVALUATIONS = 5, 5
_BORDER = 16  # pixels beside the border that do not count
_STYLE_WEIGHT = 1e5


def half(size: tuple[int, int], left: bool) -> Image.Image:
    """A mask of the left or the right half."""
    width, height = size
    mask = Image.new("L", size, 255 if left else 0)
    mask.paste(0 if left else 255, (width // 2, 0, width, height))
    return mask


def pair(content: Image.Image, styles: list[Style], epochs: int) -> PreparedPair:
    """A pair of these styles, which have equal weights."""
    parameters = Parameters(epochs=epochs, max_size=max(content.size), style_weight=_STYLE_WEIGHT)
    return PreparedPair.prepare(Picture(content), [(style, 1.0) for style in styles], parameters)


def seconds(stylizer: Stylizer, pairs: list[PreparedPair]) -> list[float]:
    """Seconds of an evaluation of each pair at its finest scale: the least of several rounds.

    The pairs take turns, so that other work on the machine slows all of them alike.
    """
    steps = [_Step(stylizer, each) for each in pairs]
    least = [float("inf")] * len(pairs)
    for _ in range(_ROUNDS):
        for index, step in enumerate(steps):
            began = time.perf_counter()
            for _ in range(_EVALUATIONS):
                step()
            if stylizer.device.type == "cuda":
                torch.cuda.synchronize()
            least[index] = min(least[index], (time.perf_counter() - began) / _EVALUATIONS)
    return least


class _Step:
    """One evaluation with its gradient, as in the search."""

    def __init__(self, stylizer: Stylizer, pair: PreparedPair) -> None:
        width, height = pair.contents[-1].size
        self._guide = Guide(stylizer.targets.objective([pair], -1))
        keep = stylizer.targets.keep([pair], -1)
        self._canvas = Canvas(height, width, stylizer.device, keep)
        image = to_tensor(pair.contents[-1])[None].to(stylizer.device)
        self._variables = self._canvas.encode(image).requires_grad_()
        self._loss = torch.full((1,), torch.inf, device=stylizer.device)
        self()  # the first evaluation has the deepest layer, too

    def __call__(self) -> None:
        picture, mode = self._canvas.decode(self._variables), self._guide.next_mode()
        terms = self._guide.step(picture, self._loss, mode).terms
        total = terms.content + _STYLE_WEIGHT * terms.style
        torch.autograd.grad(total.sum(), self._variables)


def _pixels(image: Image.Image) -> npt.NDArray[np.float64]:
    return np.asarray(image, np.float64)


def main(size: int = 256, epochs: int = 5) -> None:
    """Print the time of an evaluation, and a table of how well two styles are kept apart.

    The style error of a half is divided by that of the same style alone on this half. The leak of colour is
    how far the mean colour of a half, beyond 16 px from the border, moves from what it is alone towards the
    colour of the other style, as a share of the difference of both styles' colours. The last column is the
    change of the half without a style, beyond 16 px, as a share of that of the other one.
    """
    stylizer = Stylizer()
    content = resized("cat", size)
    pictures = [resized(name, size) for name in ("strokes", "mosaic")]
    halves = [half(content.size, left) for left in (True, False)]
    plain = pair(content, [Style(pictures[0])], epochs)
    styles = [Style(picture, mask) for picture, mask in zip(pictures, halves, strict=True)]
    both = pair(content, styles, epochs)
    without, with_two = seconds(stylizer, [plain, both])
    print(f"Measured on: {describe()}\n")
    print(f"An evaluation at {size} px: {without:.4f} s without regions, {with_two:.4f} s with two halves,")
    print(f"{with_two / without - 1:+.1%}.\n")

    alone = [pair(content, [style], epochs) for style in styles]
    result = stylizer.run([both])[0].image
    singles = [stylizer.run([each])[0].image for each in alone]
    middle, apart = content.width // 2, _pixels(pictures[0]).mean((0, 1)) - _pixels(pictures[1]).mean((0, 1))
    inside = [slice(0, middle - _BORDER), slice(middle + _BORDER, None)]
    print("| half | style error, of the error alone | leak of colour | leak into what has no style |")
    print("|---|---|---|---|")
    for name, each, single, mine, other in zip(
        ("left", "right"), alone, singles, inside, inside[::-1], strict=True
    ):
        exact = stylizer.targets.objective([each], -1, exact=True)
        with torch.no_grad():
            errors = [
                exact(to_tensor(image)[None].to(stylizer.device)).style.item() for image in (result, single)
            ]
        moved = (_pixels(result) - _pixels(single))[:, mine].mean((0, 1))
        change = np.abs(_pixels(single) - _pixels(content)).mean((0, 2))
        towards = -apart if each is alone[0] else apart
        leak = moved @ towards / (apart @ apart)
        into = change[other].mean() / change[mine].mean()
        print(f"| {name} | {errors[0] / errors[1]:.1%} | {leak:.1%} | {into:.1%} |")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
