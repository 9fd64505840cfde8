"""Reads with Pillow: the formats that libvips does not read or does not read as well."""

import io
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image
from PIL.PsdImagePlugin import PsdImageFile

from nst.decoding import vips
from nst.decoding.depth import of_floats, of_integers
from nst.decoding.opened import Notes, Opened, Samples
from nst.decoding.profiles import profile_of_exif
from nst.decoding.tags import ORIENTATION, notes_of_exif, usable_dpi

Image.init()
# An EPS file is a program, which Pillow would run in Ghostscript. Pillow recognises the others but can't
# decode them.
_FORMATS = [name for name in Image.OPEN if name not in ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")]
_MAY_BE_ADOBE_RGB = {"JPEG", "MPO", "TIFF"}  # by EXIF; without a profile, other formats are sRGB
_ALPHA_IDENTIFIERS = 1053  # the number of a resource of PSD
_MEMORY, _MEMORY_ALPHA, _MEMORY_DEEP = 24, 32, 32
# Modes that are read as others, without a loss.
_READ_AS = {"1": "L", "P": "RGB", "RGBX": "RGB", "YCbCr": "RGB", "HSV": "RGB", "La": "LA"}


def open_file(data: bytes, form: str | None = None) -> Opened:
    """Read the header of a file in this format of Pillow, or in any. Raises Pillow's errors."""
    image = Image.open(io.BytesIO(data), formats=[form] if form else _FORMATS)
    return opened(image, partial(_checked, data, image))


def opened(image: Image.Image, checked: Callable[[Samples], Samples] = lambda samples: samples) -> Opened:
    """A picture of Pillow as if its header had just been read; `checked` gets its samples."""
    deep = image.mode.startswith(("I", "F"))
    # A palette may get transparency by a chunk that follows the header.
    alpha = image.mode in ("P", "PA") or image.has_transparency_data
    memory = _MEMORY_DEEP if deep else _MEMORY_ALPHA if alpha else _MEMORY
    return Opened(image.width, image.height, _notes(image), lambda _: checked(_samples(image)), memory)


def _samples(image: Image.Image) -> Samples:
    image.load()
    if image.mode.startswith(("I", "F")):
        return _deep(image)
    if image.has_transparency_data and image.mode not in ("LA", "La"):
        image = image.convert("RGBA")
    elif image.mode in _READ_AS:
        image = image.convert(_READ_AS[image.mode])
    size, bands = image.size, len(image.getbands())
    if image.mode == "LAB":
        values = np.array(image)
        values[:, :, 1:] ^= 128  # signed to offset
        pixels = vips.of_pixels(values.tobytes(), *size, bands, "uchar")
        return Samples(pixels.linear([100 / 255, 1, 1], [0, -128, -128]), lab=True)
    pixels = vips.of_pixels(image.tobytes(), *size, bands, "uchar")
    return Samples(pixels, alpha=image.mode in ("LA", "RGBA"))


def _deep(image: Image.Image) -> Samples:
    values = np.asarray(image)
    if image.mode == "F":
        levels = of_floats(values)
    elif image.mode == "I":
        levels = of_integers(values)
    else:
        bits = getattr(image, "tag_v2", {}).get(258, (16,))[0]  # a TIFF file may have fewer
        levels = (values.astype(np.float32) * (65535 / (2.0 ** min(16, bits) - 1))).round().astype(np.uint16)
    return Samples(vips.of_pixels(levels.tobytes(), image.width, image.height, 1, "ushort"))


def _notes(image: Image.Image) -> Notes:
    profile, exif = image.info.get("icc_profile"), image.info.get("exif", b"")
    notes = notes_of_exif(exif if isinstance(exif, bytes) else b"")
    if notes.orientation == 1:
        # Pillow finds it in XMP and in TIFF tags, too. Image viewers ignore broken EXIF data.
        with suppress(Exception):
            found = int(image.getexif().get(ORIENTATION, 1))
            notes = replace(notes, orientation=found if 1 <= found <= 8 else 1)
    with suppress(TypeError, ValueError):
        across, down = map(float, image.info.get("dpi", ()))
        notes = replace(notes, dpi=usable_dpi(across, down) or notes.dpi)
    if not isinstance(profile, bytes) or not profile:
        profile = profile_of_exif(notes.exif) if image.format in _MAY_BE_ADOBE_RGB else None
    return upright(replace(notes, profile=profile), image)


def upright(notes: Notes, image: Image.Image) -> Notes:
    """The notes on a picture as Pillow loads it: it turns TIFF files upright itself."""
    if image.format != "TIFF" or image.getexif().get(ORIENTATION, 1) == 1:
        return notes
    dpi = notes.dpi[::-1] if notes.dpi and notes.orientation > 4 else notes.dpi
    return replace(notes, orientation=1, dpi=dpi)


def _checked(data: bytes, image: Image.Image, samples: Samples) -> Samples:
    """The samples without a band that is no transparency."""
    if samples.alpha and isinstance(image, PsdImageFile) and _is_selection(data, image):
        return samples.without_alpha()
    return samples if _declares_alpha(data, image.format) else samples.without_zero_alpha()


def _is_selection(data: bytes, image: PsdImageFile) -> bool:
    """Whether a band of a PSD file beyond its colours is a selection that somebody has saved.

    It is the transparency if the number of layers is negative (Adobe's specification, section "Layer info").
    Without layers, the identifier of the transparency is 0.
    """
    at = 26
    for _ in range(2):  # the palette and the resources, each behind its length
        at += 4 + int.from_bytes(data[at : at + 4])
    length, length_of_layers, layers = struct.unpack_from(">IIh", data, at)
    if length and length_of_layers and layers:
        return bool(layers > 0)
    known = next((content for number, _, content in image.resources if number == _ALPHA_IDENTIFIERS), b"")
    return bool(known) and all(any(known[n : n + 4]) for n in range(0, len(known), 4))


def _declares_alpha(data: bytes, form: str | None) -> bool:
    """Whether the header of a BMP or TGA file says that there is transparency; True for other formats."""
    if form == "TGA":
        return bool(data[17] & 15)  # the bits of transparency
    if form == "BMP":
        size = int.from_bytes(data[14:18], "little")
        return size >= 56 and any(data[66:70])  # the mask of the bits of transparency
    return True
