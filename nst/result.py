"""What comes out of a transfer: a picture, its losses, and how it got there."""

from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True)
class Losses:
    """The unweighted terms, and `total`, their weighted sum."""

    content: float
    style: float
    tv: float
    total: float


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of the objective.

    `step` counts from 1 to at most `steps` over all scales; `scale` is the long side in pixels; `seconds`
    is this pair's share of the batch's time so far.
    """

    step: int
    steps: int
    scale: int
    losses: Losses
    seconds: float


@dataclass(frozen=True)
class Result:
    """A stylised picture with its delivered losses (fp32, on the 8-bit pixels as they will be saved)."""

    image: Image.Image
    losses: Losses
    evaluations: list[Evaluation] = field(repr=False)
    seconds: float
