"""The result of a transfer: a picture, its losses, and the evaluations that led to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True)
class Losses:
    """The three terms of the objective, unweighted, and `total`, their weighted sum."""

    content: float
    style: float
    tv: float
    total: float


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of the objective.

    `step` counts over all scales from 1 to at most `steps`. `scale` is the long side of the picture in
    pixels. `seconds` is the time since the start of the batch, divided by the number of its pairs.
    """

    step: int
    steps: int
    scale: int
    losses: Losses
    seconds: float


OnEvaluation = Callable[[int, Evaluation], None]
"""A callback for the evaluations of a batch; the number is the index of the pair."""


@dataclass(frozen=True)
class Snapshot:
    """A small RGB picture of a pair on its way: the best one at evaluation number `step`."""

    step: int
    image: Image.Image


@dataclass(frozen=True)
class Result:
    """A stylized picture with its delivered losses: in fp32, of the 8-bit pixels as they will be saved.

    `style_weight` is the one that was given, or that came of `strength`. `snapshots` are empty unless the
    parameter of this name is above 0. All have one size; the last one shows the result.
    """

    image: Image.Image
    losses: Losses
    style_weight: float
    evaluations: list[Evaluation] = field(repr=False)
    seconds: float
    snapshots: Sequence[Snapshot] = field(default=(), repr=False)
