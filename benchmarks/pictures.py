"""The pictures that all are measured on, and the loss by which all are judged."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from nst import Parameters, PreparedPair, Style, Stylizer, images
from nst.device import upload
from nst.images import Picture, to_tensor

IMAGES = Path(__file__).parent.parent / "manifests" / "images"
PAIRS = [(content, style) for content in ("cat", "coffee", "astronaut") for style in ("strokes", "mosaic")]


@dataclass(frozen=True)
class Snapshot:
    """A picture on its way, and the seconds it took to get there."""

    seconds: float
    image: Image.Image


def resized(name: str, size: int) -> Image.Image:
    """An example image at the working size, so that nobody has to resize."""
    with Image.open(IMAGES / f"{name}.jpg") as image:
        return images.resize(image.convert("RGB"), images.scaled(image.size, size))


def prepared(content: Image.Image, style: Image.Image, epochs: int) -> PreparedPair:
    """Our pair of two images of working size."""
    parameters = Parameters(epochs=epochs, max_size=max(content.size))
    return PreparedPair.prepare(Picture(content), [(Style(style), 1.0)], parameters)


def judge(stylizer: Stylizer, pair: PreparedPair) -> Callable[[Image.Image], float]:
    """The delivered loss of a picture that anybody made of this pair: fp32, on its 8-bit pixels."""
    exact = stylizer.targets.objective([pair], -1, exact=True)

    def delivered(image: Image.Image) -> float:
        with torch.no_grad():
            terms = exact(upload(to_tensor(image)[None], stylizer.device))
            return (terms.content + pair.parameters.style_weight * terms.style).item()

    return delivered
