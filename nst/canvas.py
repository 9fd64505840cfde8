"""The variables in which pictures are optimised: bounded, and sorted by frequency and colour.

Departure from Gatys et al.: pixels are not optimised directly, but through the bounded reparametrisation x =
(1 - cos u) / 2 with an unbounded angle u for each pixel and channel. So pixels stay in 0..1 without clipping;
clipping the pixels at the end more than doubles the delivered loss.

Departure from Gatys et al.: the angles are u = Mᵀ D⁻¹(a · v), where v are the variables, D is the
two-dimensional cosine transform, and M turns red, green and blue into lightness and two opponent colours. The
amplitudes a fall with the frequency f, as those of natural images do, a ∝ f^(-0.375). L-BFGS on v starts as
L-BFGS on u preconditioned by the power spectrum a² ∝ 1/f^0.75: large areas change first. After the first
step, `nst.bands` scales each band of frequencies of each of the three colours. The cosine transform implies
mirrored borders; a Fourier transform would connect opposite borders, and a frame would be visible.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.bands import Bands
from nst.cosine import CosineTransform

_POWER = 0.75  # exponent of the spectrum; as good as 0.6 at 256 px, better than it at 512 px
_OPPONENTS = ((1, 1, 1), (1, -1, 0), (1, 1, -2))  # lightness, red against green, yellow against blue
_MARGIN = 0.02  # black and white start this far from 0 and 1, where the gradient with respect to u is zero


class Canvas:
    """Maps between pictures of one size, `(B, 3, H, W)` in 0..1, and their variables, `(B, 3·H·W)`.

    `bands` says to which band each variable belongs.
    """

    def __init__(
        self,
        height: int,
        width: int,
        device: torch.device,
        keep: Callable[[Tensor], Tensor] = lambda pictures: pictures,
    ) -> None:
        """`keep` changes the decoded pictures; it must be differentiable."""
        self._keep = keep
        self.bands = Bands(height, width, device)
        self._colors = F.normalize(torch.tensor(_OPPONENTS, dtype=torch.float32)).to(device)
        self._cosine = CosineTransform(height, width, device)
        lowest = 1 / (2 * max(height, width))
        rows, columns = (
            torch.arange(height)[:, None] / (2 * height),
            torch.arange(width) / (2 * width),
        )
        amplitude = ((rows**2 + columns**2).sqrt() + lowest) ** (-_POWER / 2)
        self._amplitude = (amplitude / amplitude.square().mean().sqrt()).to(device)

    def encode(self, image: Tensor) -> Tensor:
        """Pictures to variables. Values are clamped to 0.02..0.98 first."""
        angle = torch.arccos(1 - 2 * image.clamp(_MARGIN, 1 - _MARGIN))
        return (self._cosine.forward(_mixed(angle, self._colors)) / self._amplitude).flatten(1)

    def decode(self, variables: Tensor) -> Tensor:
        """Variables to pictures; differentiable."""
        height, width = self._amplitude.shape
        spectrum = variables.view(-1, 3, height, width) * self._amplitude
        angle = _mixed(self._cosine.inverse(spectrum), self._colors.T)
        return self._keep(0.5 - 0.5 * torch.cos(angle))


def _mixed(planes: Tensor, matrix: Tensor) -> Tensor:
    """The product of a `(3, 3)` matrix with the channels of `(B, 3, H, W)`."""
    # `bmm`, because the result of `einsum` is not contiguous for several pictures.
    return torch.bmm(matrix.expand(len(planes), 3, 3), planes.flatten(2)).view_as(planes)
