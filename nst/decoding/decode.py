"""The way of a picture: recognise, open, read, to sRGB, to 8 bits, upright, on white."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyvips
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from nst.decoding import pillow, vips
from nst.decoding.colour import to_srgb
from nst.decoding.opened import CMYK, GREY, RGB, Opened, Samples
from nst.decoding.recognise import open_picture
from nst.errors import ImageError

MOST_PIXELS = 2**28
# A picture of more pixels is shrunk while it is decoded, to twice the size that is needed at least.
_WHOLE = 2**26
_SPARE = 2
_LONGEST_CAUSE = 200  # characters of a decoder's message
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Picture:
    """An upright sRGB picture: `rgb` in mode RGB, composed on white; `alpha` in mode L, None if opaque.

    `dpi` is its resolution across and down, for printing, and `exif` what its file says in EXIF (a TIFF
    structure), if anything. `colors` is the picture before it was composed on white, if that is known.
    """

    rgb: Image.Image
    alpha: Image.Image | None = None
    dpi: tuple[float, float] | None = None
    exif: bytes = b""
    colors: Image.Image | None = None


@dataclass(frozen=True)
class Header:
    """What is known of an image file before it is decoded; all is 0 if it is no picture.

    `stored` is the width and height in the file. `decoded` is that of what `decode` makes of it, before it is
    turned upright, and `memory` is how many bytes of memory that takes at most; both are 0 for a picture that
    has too many pixels.
    """

    stored: tuple[int, int] = (0, 0)
    decoded: tuple[int, int] = (0, 0)
    memory: int = 0


def decode(data: bytes, long_side: int | None = None, most_pixels: int = MOST_PIXELS) -> Picture:
    """Decode the bytes of an image file.

    A picture of more than 67 million pixels may be shrunk by 2, 4 or 8, so that its long side still has at
    least twice `long_side` pixels. Raises `ImageError` if the bytes are empty, not an image, damaged,
    incomplete, of more than `most_pixels` pixels, or in colours that sRGB cannot show.
    """
    with _refusing():
        opened = _open(data, most_pixels)
        return _picture(opened, _shrink(opened, long_side))


def normalise(image: Image.Image) -> Picture:
    """Rotate any Pillow image upright, convert it to 8 bits and sRGB, and compose it on white.

    Raises `ImageError` if it is empty, damaged or incomplete: Pillow reads the pixels of a file only now.
    """
    if not image.width * image.height:
        raise ImageError(f"it has no pixels: {image.width}x{image.height}")
    with _refusing():
        return _picture(pillow.opened(image), 1)


@contextmanager
def _refusing() -> Iterator[None]:
    """Turn what decoders raise for damaged files into `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError:
        raise ImageError("not an image in a format that can be read here") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ImageError(f"too large to decode; at most {most} million pixels are in this format") from None
    except MemoryError:
        raise ImageError("too large to decode in the memory at hand") from None
    except pyvips.Error as error:  # its message has parts of other threads' errors
        raise ImageError("incomplete or damaged; not all of its pixels can be read") from error
    except Exception as error:  # decoders raise exceptions of many types for damaged files
        cause = " ".join(str(error).split())[:_LONGEST_CAUSE]
        raise ImageError(f"incomplete or damaged ({cause})") from error


def header(data: bytes, long_side: int | None = None, most_pixels: int = MOST_PIXELS) -> Header:
    """Read only the header of an image file; the arguments are those of `decode`."""
    try:
        opened = open_picture(data)
        shrink = _shrink(opened, long_side)
    except Exception:  # `decode` says what is wrong
        return Header()
    width, height = opened.width, opened.height
    if not 0 < width * height <= most_pixels:
        return Header((width, height))
    memory = width * height // shrink**2 * opened.memory + width * height * opened.memory_stored
    return Header((width, height), (-(-width // shrink), -(-height // shrink)), memory)


def _open(data: bytes, most_pixels: int) -> Opened:
    if not data:
        raise ImageError("the file is empty")
    opened = open_picture(data)
    width, height = opened.width, opened.height
    if not width * height:
        raise ImageError("not an image in a format that can be read here")
    if width * height > most_pixels:
        raise ImageError(
            f"too large to decode: {width}x{height}; at most {most_pixels:,} pixels are; make it smaller"
        )
    return opened


def _shrink(opened: Opened, long_side: int | None) -> int:
    size = opened.width, opened.height
    if not opened.shrinks or long_side is None or size[0] * size[1] <= _WHOLE:
        return 1
    return next((factor for factor in (8, 4, 2) if max(size) // factor >= _SPARE * long_side), 1)


def _picture(opened: Opened, shrink: int) -> Picture:
    notes = opened.notes
    rgb, alpha = _to_pillow(to_srgb(opened.read(shrink), notes.profile))
    if notes.orientation in _TURNS:
        turn = _TURNS[notes.orientation]
        rgb, alpha = rgb.transpose(turn), alpha and alpha.transpose(turn)
    colors = None
    if alpha is not None:
        rgb, colors = on_white(rgb, alpha), rgb
    dpi = notes.dpi[::-1] if notes.dpi and notes.orientation > 4 else notes.dpi
    return Picture(rgb, alpha, dpi, notes.exif, colors)


def _to_pillow(samples: Samples) -> tuple[Image.Image, Image.Image | None]:
    """The picture in mode RGB, and its transparency in mode L unless it is opaque."""
    image, colours = samples.image, samples.image.bands - samples.alpha
    if not samples.alpha:
        solid = _filled(image, {GREY: "L", RGB: "RGB", CMYK: "CMYK"}[colours], samples.pixels)
        return solid if colours == RGB else solid.convert("RGB"), None
    if colours == CMYK:
        image = image.copy_memory()
        alpha = _filled(image[CMYK], "L")
        return _filled(image.extract_band(0, n=CMYK), "CMYK").convert("RGB"), _unless_opaque(alpha)
    whole = _filled(image, "LA" if colours == GREY else "RGBA")
    return whole.convert("RGB"), _unless_opaque(whole.getchannel("A"))


def _filled(image: pyvips.Image, mode: str, there: NDArray[np.uint8] | None = None) -> Image.Image:
    """The pixels as a picture of Pillow, computed some rows at a time, which takes no other memory."""
    width, height = image.width, image.height
    # Without a colour, because time would be needed to make all pixels black first.
    filled, strip = Image.new(mode, (width, height), None), Image.new(mode, (0, 0))
    if there is not None:
        filled.frombytes(there)
        return filled
    for top, rows, pixels in vips.strips(image):
        strip = strip if strip.height == rows else Image.new(mode, (width, rows), None)
        strip.frombytes(pixels)
        filled.paste(strip, (0, top))
    return filled


def _unless_opaque(alpha: Image.Image) -> Image.Image | None:
    return None if alpha.getextrema() == (255, 255) else alpha


def on_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Compose the picture on white."""
    canvas = Image.new("RGB", rgb.size, "white")
    canvas.paste(rgb, mask=alpha)
    return canvas
