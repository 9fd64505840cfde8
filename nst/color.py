"""Preserve the content's colours, after Gatys et al. (2016), 'Preserving Color in Neural Style Transfer'.

Departure from Gatys et al.: the paper of 2015 has no such option. With it, styles get the content's colours
before the search, and the result gets the content's chroma after it.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

_SAMPLE_SIDE = 512  # pixels, the long side of the copy from which colour statistics are computed

Array = npt.NDArray[np.float64]


def match_colors(picture: Image.Image, reference: Image.Image) -> Image.Image:
    """Give an RGB picture the mean colour and the colour covariance of `reference`.

    A linear map of the colours (section 4 of the paper), with the symmetric square roots of both covariances.
    """
    source, target = (_sample(image) for image in (picture, reference))
    matrix = _root(_covariance(target)) @ np.linalg.inv(_root(_covariance(source)))
    offset = target.mean(0) - matrix @ source.mean(0)
    rows = np.column_stack([matrix, offset])
    return picture.convert("RGB", tuple(rows.ravel().tolist()))


def keep_chroma(result: Image.Image, content: Image.Image) -> Image.Image:
    """The luminance of `result` with the chroma of `content` (section 5); both are RGB and of one size."""
    luminance = result.convert("YCbCr").getchannel("Y")
    _, blue, red = content.convert("YCbCr").split()
    return Image.merge("YCbCr", (luminance, blue, red)).convert("RGB")


def _sample(image: Image.Image) -> Array:
    # A small copy has nearly the same mean and covariance, and takes less time.
    small = image.copy()
    small.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float64).reshape(-1, 3)


def _covariance(pixels: Array) -> Array:
    # The variance of one level is added, so that the covariance of a single colour is invertible too.
    return np.atleast_2d(np.cov(pixels.T, bias=True)) + np.eye(3)


def _root(matrix: Array) -> Array:
    """The symmetric square root of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(values)) @ vectors.T
    return root
