"""Measures how much the results depend on each constant of the search, over pairs of widely different kinds.

    python -m benchmarks.sensitivity SIZE EPOCHS [tuned|set-aside]

Each constant is changed alone. A figure is the delivered loss of a run with the changed constant, divided by
that of a run with the usual one: the geometric mean over the pairs, and the lowest and highest.
"""

import statistics
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from unittest.mock import patch

from PIL import Image

from benchmarks.machine import describe
from benchmarks.pairs import PAIRS
from benchmarks.pictures import prepared, resized
from nst import Stylizer

# The constants, and the values that are tried instead of the usual one.
CONSTANTS: dict[str, tuple[str, Sequence[float]]] = {
    "damping of the strongest direction": ("nst.damping._DAMPING", (0.2, 0.8)),
    "evaluations until the end of damping is decided": ("nst.guide._WINDOW", (5, 20)),
    "decrease by which damping goes on": ("nst.guide._FAST", (0.025, 0.1)),
    "evaluations between two of the deepest layer": ("nst.guide._REFRESH_INTERVAL", (20, 80)),
    "share of the iterations of a scale": ("nst.scales._FINE_SHARE", (0.7, 0.9)),
    "mean change of a pixel by the first step": ("nst.search._FIRST_CHANGE", (0.01, 0.04)),
    "factor on the scaling of the inverse Hessian": ("nst.lbfgs._SCALING", (1.0, 3.0)),
    "longest step, in first ones": ("nst.lbfgs._LONGEST", (2.5, 10.0)),
    "rise of the loss that is accepted": ("nst.lbfgs._MOST_RISE", (1.0, 1.3)),
    "factor on a rejected step": ("nst.lbfgs._SHORTEN", (0.1, 0.5)),
    "exponent of the spectrum": ("nst.canvas._POWER", (0.6, 0.9)),
    "bound on the scale of a band": ("nst.bands._FURTHEST", (4.0, 30.0)),
    "octaves with a scale": ("nst.bands._OCTAVES", (3, 7)),
    "weight of an earlier step in the scale of a band": ("nst.bands._DECAY", (0.8, 0.95)),
}


def losses(
    pairs: Sequence[tuple[Image.Image, Image.Image]], epochs: int, changed: Mapping[str, float]
) -> list[float]:
    """The delivered loss of each pair, of a content and a style, with some constants changed."""
    with ExitStack() as changes:
        for name, value in changed.items():
            changes.enter_context(patch(name, value))
        stylizer = Stylizer()
        return [stylizer.run([prepared(*pair, epochs)])[0].losses.total for pair in pairs]


def main() -> None:
    """Print a row for each constant and value."""
    size, epochs, *halves = sys.argv[1:]
    names = [pair for half in halves or PAIRS for pair in PAIRS[half]]
    pairs = [(resized(content, int(size)), resized(style, int(size))) for content, style in names]
    usual = losses(pairs, int(epochs), {})
    print(f"{size} px, {epochs} epochs, {len(pairs)} pairs; {describe()}\n")
    print("| constant | value | mean | lowest | highest |\n|---|---|---|---|---|")
    for what, (name, values) in CONSTANTS.items():
        for value in values:
            found = losses(pairs, int(epochs), {name: value})
            ratios = [mine / theirs for mine, theirs in zip(found, usual, strict=True)]
            mean = statistics.geometric_mean(ratios)
            print(f"| {what} | {value:g} | {mean:.3f} | {min(ratios):.3f} | {max(ratios):.3f} |", flush=True)


if __name__ == "__main__":
    main()
