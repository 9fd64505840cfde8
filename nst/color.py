"""Preserve the content's colours, after Gatys et al. (2016), 'Preserving Color in Neural Style Transfer'.

Departure from Gatys et al.: the paper of 2015 has no such option. With it, styles get the content's colours
before the search, and the result gets the content's chroma after it.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

_SAMPLE_SIDE = 512  # pixels, the long side of the copy from which colour statistics are computed

Array = npt.NDArray[np.float64]


def match_colors(
    picture: Image.Image,
    reference: Image.Image,
    part: Image.Image | None = None,
    reference_part: Image.Image | None = None,
) -> Image.Image:
    """Give an RGB picture the mean colour and the colour covariance of `reference`.

    A linear map of the colours (section 4 of the paper), with the symmetric square roots of both covariances.
    The masks, mode L, say which parts of the two count for their means and covariances, and how much.
    """
    mean, covariance = _moments(picture, part)
    wanted_mean, wanted_covariance = _moments(reference, reference_part)
    matrix = _root(wanted_covariance) @ np.linalg.inv(_root(covariance))
    offset = wanted_mean - matrix @ mean
    rows = np.column_stack([matrix, offset])
    return picture.convert("RGB", tuple(rows.ravel().tolist()))


def keep_chroma(result: Image.Image, content: Image.Image) -> Image.Image:
    """The luminance of `result` with the chroma of `content` (section 5); both are RGB and of one size."""
    luminance = result.convert("YCbCr").getchannel("Y")
    _, blue, red = content.convert("YCbCr").split()
    return Image.merge("YCbCr", (luminance, blue, red)).convert("RGB")


def _moments(image: Image.Image, part: Image.Image | None) -> tuple[Array, Array]:
    """The mean, `(3,)`, and the covariance, `(3, 3)`, of an image's colours, or of those of a part of it."""
    # A small copy has nearly the same mean and covariance, and takes less time.
    small = image.copy()
    small.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE), Image.Resampling.BOX)
    pixels, weights = np.asarray(small, np.float64).reshape(-1, 3), None
    if part is not None:
        weights = np.asarray(part.resize(small.size, Image.Resampling.BOX), np.float64).ravel()
        weights = weights if weights.any() else None  # too small a part has no pixel of the copy
    mean = np.average(pixels, 0, weights)
    # The variance of one level is added, so that the covariance of a single colour is invertible too.
    return mean, np.cov(pixels.T, bias=True, aweights=weights) + np.eye(3)


def _root(matrix: Array) -> Array:
    """The symmetric square root of a symmetric positive definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    root: Array = (vectors * np.sqrt(values)) @ vectors.T
    return root
