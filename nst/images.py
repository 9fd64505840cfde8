"""Decode image files to upright sRGB pictures, resize them, convert them to tensors, and encode them."""

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from nst.decoding.decode import (
    MOST_PIXELS,
    Header,
    Picture,
    decode,
    header,
    normalise,
    on_white,
)
from nst.decoding.profiles import srgb_profile
from nst.decoding.tags import RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION
from nst.errors import ImageError
from nst.metadata import DESCRIPTION, kept_exif, with_tags
from nst.parameters import Format
from nst.tiff import tiff

with suppress(ImportError):  # so that `Image.open` reads HEIC for users of this library, too
    from pillow_heif import register_heif_opener

    register_heif_opener()

__all__ = [
    "MOST_PIXELS",
    "Header",
    "Picture",
    "as_saved",
    "check_transparency",
    "decode",
    "encode",
    "from_levels",
    "header",
    "kept_exif",
    "limited",
    "normalise",
    "resize",
    "resized",
    "scaled",
    "to_image",
    "to_levels",
    "to_tensor",
]

_SOFTWARE = 0x0131
_INCH = 2  # as the unit of a resolution
_BAND = 2**18  # pixels of rows that are computed at once; each takes 40 bytes


def scaled(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """`(width, height)` in pixels with the same aspect ratio and this long side; each is 1 at least."""
    factor = long_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def limited(size: tuple[int, int], most: int) -> tuple[int, int]:
    """`(width, height)` in pixels, scaled down if the long side has more than `most`."""
    return scaled(size, min(most, max(size)))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize with a Lanczos filter to `(width, height)`; an image of that size is returned itself."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrink or enlarge pictures, `(B, 3, H, W)`, to `(width, height)`, on their device."""
    width, height = size
    if pictures.shape[2:] == (height, width):
        return pictures
    if pictures.shape[2] >= height and pictures.shape[3] >= width:
        return F.interpolate(pictures, (height, width), mode="area")
    return F.interpolate(pictures, (height, width), mode="bicubic")


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image -> `(3, H, W)`, or image of mode L -> `(1, H, W)`; fp32, in 0..1, on the CPU."""
    return torch.from_numpy(np.atleast_3d(np.array(image))).permute(2, 0, 1).float().div_(255)


def to_levels(pixels: Tensor) -> Tensor:
    """Pixels in 0..1, of any shape -> the same as integers of 8 bits, on the same device."""
    return pixels.detach().mul(255).round().clamp(0, 255).byte()


def from_levels(levels: Tensor) -> Image.Image:
    """`(3, H, W)` as integers of 8 bits, on any device -> RGB image."""
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def to_image(pixels: Tensor) -> Image.Image:
    """`(3, H, W)` in 0..1, on any device -> RGB image, rounded to 8 bits."""
    return from_levels(to_levels(pixels))


def encode(picture: Picture, form: Format, software: str, notes: Mapping[str, Any]) -> bytes:
    """Encode as PNG, JPEG (quality 95, 4:4:4, on white), WebP (lossless) or TIFF (deflate).

    `software` and `notes` (as JSON) are written to the metadata: PNG text chunks, or EXIF in other formats.
    So are the resolution and the EXIF of the picture, and that its colours are sRGB. White is removed from
    transparent pixels; those that equal `colors` on white get exactly these colours. Raises `ImageError` for
    TIFF if the picture is transparent.
    """
    check_transparency(picture, form)
    text = json.dumps(notes)
    image = picture.rgb.copy()
    if picture.alpha is not None:
        image = _remove_white(picture.rgb, picture.alpha, picture.colors)
        if form == "jpg":
            image = on_white(image, picture.alpha)
        else:
            image.putalpha(picture.alpha)
    out = io.BytesIO()
    options: dict[str, Any] = {"dpi": picture.dpi} if picture.dpi else {}
    if form == "png":
        info = PngInfo()
        info.add(b"sRGB", b"\0")  # perceptual
        info.add_text("Software", software)
        info.add_text("Parameters", text)
        if picture.exif:
            options["exif"] = with_tags(picture.exif, {_SOFTWARE: software})
        image.save(out, "PNG", pnginfo=info, **options)
        return out.getvalue()
    tags: dict[int, object] = {_SOFTWARE: software, DESCRIPTION: text}
    if picture.dpi:
        tags |= {X_RESOLUTION: picture.dpi[0], Y_RESOLUTION: picture.dpi[1], RESOLUTION_UNIT: _INCH}
    if form == "tiff":
        return tiff(image, picture.exif, tags, srgb_profile())
    options |= {"exif": with_tags(picture.exif, tags), "icc_profile": srgb_profile()}
    if form == "jpg":
        image.save(out, "JPEG", quality=95, subsampling=0, **options)
    else:
        # Lossy WebP halves the resolution of the chroma, which multiplies the loss. For lossless WebP,
        # `quality` is the effort of compression.
        image.save(out, "WEBP", lossless=True, quality=20, **options)
    return out.getvalue()


def check_transparency(picture: Picture, form: Format) -> None:
    """Raise `ImageError` if the picture is transparent and this format would lose that."""
    if form == "tiff" and picture.alpha is not None:
        raise ImageError('it is transparent, which TIFF results cannot be; use "format": "png" or "webp"')


def as_saved(rgb: Image.Image, form: Format) -> Image.Image:
    """The picture as it is decoded from the saved file, so with the losses of JPEG compression."""
    return decode(encode(Picture(rgb), form, "", {})).rgb if form == "jpg" else rgb


def _remove_white(rgb: Image.Image, alpha: Image.Image, colors: Image.Image | None) -> Image.Image:
    """The inverse of `on_white`, clipped to 0..255; fully transparent pixels do not change.

    Several colours of a nearly transparent pixel are the same on white. Where `colors` are among them, they
    are chosen.
    """
    clean = Image.new("RGB", rgb.size)
    rows = max(1, _BAND // rgb.width)
    for top in range(0, rgb.height, rows):
        part = (0, top, rgb.width, min(rgb.height, top + rows))
        band = _band_without_white(rgb.crop(part), alpha.crop(part), colors and colors.crop(part))
        clean.paste(band, part)
    return clean


def _band_without_white(rgb: Image.Image, alpha: Image.Image, colors: Image.Image | None) -> Image.Image:
    opacity = np.asarray(alpha, dtype=np.float32)[:, :, None] / 255
    darkness = (255 - np.asarray(rgb, dtype=np.float32)) / np.where(opacity > 0, opacity, 1)
    clean = (255 - darkness).round().clip(0, 255).astype(np.uint8)
    if colors:
        unchanged = (np.asarray(on_white(colors, alpha)) == np.asarray(rgb)).all(2)
        clean[unchanged] = np.asarray(colors)[unchanged]
    return Image.fromarray(clean)
