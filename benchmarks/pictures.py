"""The example pictures of all benchmarks, and the loss by which results are compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from nst import Parameters, PreparedPair, Style, Stylizer, images
from nst.device import upload
from nst.images import Picture, to_tensor

_IMAGES = Path(__file__).parent.parent / "manifests" / "images"
_MORE_IMAGES = Path(__file__).parent / "images"
PAIRS = [(content, style) for content in ("cat", "coffee", "astronaut") for style in ("strokes", "mosaic")]


@dataclass(frozen=True)
class Snapshot:
    """A picture during an optimisation, and the seconds from the start until then."""

    seconds: float
    image: Image.Image


def opened(name: str) -> Image.Image:
    """An example image as it is."""
    path = _IMAGES / f"{name}.jpg"
    with Image.open(path if path.exists() else _MORE_IMAGES / path.name) as image:
        return image.convert("RGB")


def resized(name: str, size: int) -> Image.Image:
    """An example image at the working size, so that no algorithm resizes it."""
    image = opened(name)
    return images.resize(image, images.scaled(image.size, size))


def landscape(name: str, size: int) -> Image.Image:
    """An example image of this width and two thirds of this height, so that all can share a batch."""
    return resized(name, size).crop((0, 0, size, size * 2 // 3))


def prepared(content: Image.Image, style: Image.Image, epochs: int) -> PreparedPair:
    """A pair for our stylizer, of two images at the working size."""
    parameters = Parameters(epochs=epochs, max_size=max(content.size))
    return PreparedPair.prepare(Picture(content), [(Style(style), 1.0)], parameters)


def judge(stylizer: Stylizer, pair: PreparedPair) -> Callable[[Image.Image], float]:
    """A function that computes the delivered loss of any picture for this pair: fp32, on 8-bit pixels."""
    exact = stylizer.targets.objective([pair], -1, exact=True)

    def delivered(image: Image.Image) -> float:
        with torch.no_grad():
            terms = exact(upload(to_tensor(image)[None], stylizer.device))
            return (terms.content + pair.parameters.style_weight * terms.style).item()

    return delivered
