"""Prepared pairs for tests, small enough to be optimised in a second."""

from PIL import Image

from nst import Parameters, PreparedPair, Style, images
from tests.conftest import make_picture


def prepared(
    seed: int = 1,
    style: int = 2,
    size: tuple[int, int] = (48, 40),
    keep: Image.Image | None = None,
    **parameters: object,
) -> PreparedPair:
    """A pair of pictures with these seeds, of one epoch and the content's size unless `parameters` differ."""
    chosen = Parameters.model_validate({"epochs": 1, "max_size": max(size), **parameters})
    content, styles = make_picture(*size, seed=seed), [(Style(make_picture(64, 64, seed=style)), 1.0)]
    return PreparedPair.prepare(images.Picture(content), styles, chosen, keep)
