"""What is known of an image file after its header was read."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyvips
from numpy.typing import NDArray

GREY, RGB, CMYK = 1, 3, 4  # bands of a picture without transparency


@dataclass(frozen=True)
class Samples:
    """The pixels of a picture as the file has them.

    `image` has 1 (grey), 3 (RGB, or CIELAB relative to D50 if `lab`) or 4 (CMYK) bands, and one more for the
    transparency if `alpha`. Its samples are unsigned with 8 or 16 bits, or floats of CIELAB. libvips computes
    the pixels when they are needed, and raises its errors then. `pixels` are the same in memory, row by row,
    if they are there already.
    """

    image: pyvips.Image
    alpha: bool = False
    lab: bool = False
    pixels: NDArray[np.uint8] | None = None

    def without_alpha(self) -> "Samples":
        """The same without its transparency."""
        return Samples(self.image.extract_band(0, n=self.image.bands - 1)) if self.alpha else self

    def without_zero_alpha(self) -> "Samples":
        """The same without its transparency, if that is zero throughout."""
        return self if self.alpha and self.image[self.image.bands - 1].max() > 0 else self.without_alpha()


@dataclass(frozen=True)
class Notes:
    """What a file says beside its pixels."""

    orientation: int = 1  # as in EXIF, 1 to 8
    dpi: tuple[float, float] | None = None  # pixels per inch of the stored rows and columns
    profile: bytes | None = None  # ICC
    exif: bytes = b""  # a TIFF structure


@dataclass(frozen=True)
class Opened:
    """A file whose header has been read.

    `read` decodes it, shrunk in both directions by a factor of 1, 2, 4 or 8 if `shrinks`. That takes `memory`
    bytes for each pixel of the result, and `memory_stored` bytes for each pixel of the file.
    """

    width: int
    height: int
    notes: Notes
    read: Callable[[int], Samples]
    memory: int
    memory_stored: int = 0
    shrinks: bool = False
