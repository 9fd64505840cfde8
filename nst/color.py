"""Keeping the content's colours, after Gatys et al. 2016, 'Preserving Color in Neural Style Transfer'."""

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[np.float64]


def match_colors(picture: Image.Image, reference: Image.Image) -> Image.Image:
    """Give a picture the mean colour and colour covariance of another (section 4, by matrix square roots)."""
    source, target = (np.asarray(image, np.float64).reshape(-1, 3) for image in (picture, reference))
    transform = _root(_covariance(target)) @ np.linalg.inv(_root(_covariance(source)))
    matched = (source - source.mean(0)) @ transform.T + target.mean(0)
    return Image.fromarray(matched.round().clip(0, 255).astype(np.uint8).reshape(*picture.size[::-1], 3))


def keep_chroma(result: Image.Image, content: Image.Image) -> Image.Image:
    """The result's luminance with the content's chroma (section 5); both RGB, of one size."""
    luminance = result.convert("YCbCr").getchannel("Y")
    _, blue, red = content.convert("YCbCr").split()
    return Image.merge("YCbCr", (luminance, blue, red)).convert("RGB")


def _covariance(pixels: Array) -> Array:
    # The small diagonal keeps pictures of a single colour invertible; it is one level squared.
    return np.atleast_2d(np.cov(pixels.T, bias=True)) + np.eye(3)


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(values)) @ vectors.T
    return root
