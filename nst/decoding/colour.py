"""Colours to sRGB at the depth of the file, and then to 8 bits."""

from contextlib import suppress

import pyvips

from nst.decoding import vips
from nst.decoding.opened import CMYK, GREY, RGB, Samples

_SPACES = {b"GRAY": GREY, b"RGB ": RGB, b"CMYK": CMYK}  # as the header of a profile names them
_NAMES = {
    ("uchar", GREY): "b-w", ("uchar", RGB): "srgb", ("uchar", CMYK): "cmyk",
    ("ushort", GREY): "grey16", ("ushort", RGB): "rgb16", ("ushort", CMYK): "cmyk",
}  # fmt: skip


def to_srgb(samples: Samples, profile: bytes | None) -> Samples:
    """Unsigned samples of 8 bits: grey or RGB in sRGB, or CMYK where no usable profile says what it is."""
    colours = samples.image.bands - samples.alpha
    # Image viewers ignore a profile that does not match its picture, too.
    usable = profile if profile and _SPACES.get(profile[16:20]) == colours else None
    if samples.image.format == "uchar" and not usable:
        return samples
    image, alpha = samples.image, None
    if samples.alpha:
        image, alpha = image.extract_band(0, n=colours), image[colours]
    if samples.lab:
        image = image.copy(interpretation="lab").icc_export(pcs="xyz", output_profile="srgb", depth=16)
    elif usable:
        with suppress(pyvips.Error):  # it is broken
            named = vips.with_profile(image, usable, _NAMES[image.format, colours])
            if image.format == "uchar" or colours > GREY:
                depth = 8 if image.format == "uchar" else 16
                image = named.icc_transform("srgb", embedded=True, intent="perceptual", depth=depth)
            else:  # in two steps, because lcms is inaccurate in dark greys of 16 bits if it combines them
                device = named.icc_import(embedded=True, intent="perceptual", pcs="xyz")
                image = device.icc_export(output_profile="srgb", intent="perceptual", depth=16)
    image = _eight_bits(image)
    return Samples(image if alpha is None else image.bandjoin(_eight_bits(alpha)), samples.alpha)


def _eight_bits(image: pyvips.Image) -> pyvips.Image:
    """Round samples of 16 bits to 8."""
    return image if image.format == "uchar" else image.linear(255 / 65535, 0).rint().cast("uchar")
