"""Keeping the content's colours, after Gatys et al. 2016, 'Preserving Color in Neural Style Transfer'."""

import numpy as np
import numpy.typing as npt
from PIL import Image

_SAMPLED = 512  # pixels, long side

Array = npt.NDArray[np.float64]


def match_colors(picture: Image.Image, reference: Image.Image) -> Image.Image:
    """Give a picture the mean colour and colour covariance of another (section 4, by matrix square roots)."""
    source, target = (_sample(image) for image in (picture, reference))
    matrix = _root(_covariance(target)) @ np.linalg.inv(_root(_covariance(source)))
    offset = target.mean(0) - matrix @ source.mean(0)
    rows = np.column_stack([matrix, offset])
    return picture.convert("RGB", tuple(rows.ravel().tolist()))


def keep_chroma(result: Image.Image, content: Image.Image) -> Image.Image:
    """The result's luminance with the content's chroma (section 5); both RGB, of one size."""
    luminance = result.convert("YCbCr").getchannel("Y")
    _, blue, red = content.convert("YCbCr").split()
    return Image.merge("YCbCr", (luminance, blue, red)).convert("RGB")


def _sample(image: Image.Image) -> Array:
    # Means and covariances of a large picture are those of a small copy.
    small = image.copy()
    small.thumbnail((_SAMPLED, _SAMPLED), Image.Resampling.BOX)
    return np.asarray(small, np.float64).reshape(-1, 3)


def _covariance(pixels: Array) -> Array:
    # The small diagonal keeps pictures of a single colour invertible; it is one level squared.
    return np.atleast_2d(np.cov(pixels.T, bias=True)) + np.eye(3)


def _root(matrix: Array) -> Array:
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(values)) @ vectors.T
    return root
