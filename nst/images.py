"""Decode image files to upright sRGB pictures, resize them, convert them to tensors, and encode them."""

import io
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from nst.errors import ImageError
from nst.parameters import Format

with suppress(ImportError):  # HEIC needs this optional plug-in; Pillow reads the other formats itself
    from pillow_heif import register_heif_opener

    register_heif_opener()

Image.init()
# An EPS file is a program, which Pillow would run in Ghostscript. Pillow recognises the others but can't
# decode them.
_FORMATS = [name for name in Image.OPEN if name not in ("EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG")]
_SRGB = ImageCms.createProfile("sRGB")
_EXIF_DESCRIPTION, _EXIF_ORIENTATION, _EXIF_SOFTWARE = 0x010E, 0x0112, 0x0131
_BITS_PER_SAMPLE = 258  # a TIFF's tag
# Copies of a picture that exist at the same time while it is decoded, at most: opaque, with transparency, and
# with more than 8 bits.
_COPIES, _COPIES_ALPHA, _COPIES_DEEP = 4, 5, 6


@dataclass(frozen=True)
class Picture:
    """An upright sRGB picture: `rgb` in mode RGB, composed on white; `alpha` in mode L, None if opaque."""

    rgb: Image.Image
    alpha: Image.Image | None = None


def decode(data: bytes) -> Picture:
    """Decode the bytes of an image file.

    Raises `ImageError` if they are empty, not an image, damaged, truncated, or too large to decode.
    """
    if not data:
        raise ImageError("the file is empty")
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            image.load()
            return normalise(image)
    except UnidentifiedImageError:
        raise ImageError("not an image in a format that can be read here") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ImageError(f"too large to decode; at most {most} million pixels are") from None
    except MemoryError:
        raise ImageError("too large to decode in the memory at hand") from None
    except Exception as error:  # decoders raise exceptions of many types for damaged files
        raise ImageError(f"damaged or truncated ({error})") from error


def normalise(image: Image.Image) -> Picture:
    """Rotate any Pillow image upright, convert it to 8 bits and sRGB, and compose it on white."""
    profile = image.info.get("icc_profile")
    image = _eight_bits(_upright(image), _depth(image))
    alpha = None
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = image.getchannel("A")
        if alpha.getextrema() == (255, 255):
            alpha = None
    rgb = _to_srgb(image, profile)
    if alpha is not None:
        rgb = _on_white(rgb, alpha)
    return Picture(rgb, alpha)


def decoding_bytes(data: bytes) -> int:
    """Bytes of memory that `decode` takes at most, found from the header alone; 0 for what it refuses.

    That is width x height x 4 bytes, which Pillow takes for a pixel of any mode, x the copies of the picture
    that exist at the same time.
    """
    try:
        with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
            copies = _COPIES_DEEP if _is_deep(image) else _COPIES_ALPHA if _may_have_alpha(image) else _COPIES
            return image.width * image.height * 4 * copies
    except Exception:  # `decode` says what is wrong
        return 0


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith(("I", "F"))


def _may_have_alpha(image: Image.Image) -> bool:
    # A palette may get transparency by a chunk that follows the header.
    return image.mode in ("P", "PA") or image.has_transparency_data


def _upright(image: Image.Image) -> Image.Image:
    # Image viewers ignore broken EXIF data too.
    with suppress(Exception):
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:  # or else Pillow would make a copy
            return ImageOps.exif_transpose(image)
    return image


def _depth(image: Image.Image) -> int:
    """The bits of a grey level in a mode of more than 8 bits: 16, or fewer if a TIFF file says so."""
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (16,))[0]
    return min(16, int(bits))


def _eight_bits(image: Image.Image, depth: int) -> Image.Image:
    if not _is_deep(image):
        return image
    values = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0, posinf=0, neginf=0)
    white = 2.0**depth - 1
    if image.mode == "F":
        # Usually in 0..1; resizing or highlights may leave a few pixels beyond 1.
        white = 1.0 if np.quantile(values, 0.99) <= 1 else 255.0
    # In place, because each step would make a copy.
    values /= white
    values *= 255
    return Image.fromarray(values.round(out=values).clip(0, 255, out=values).astype(np.uint8))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode in ("RGB", "RGBA", "P", "L", "CMYK"):
        source = image.convert("RGB") if image.mode in ("RGBA", "P") else image
        # Image viewers ignore a profile that does not match its picture too.
        with suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.profileToProfile(
                source, ImageCms.ImageCmsProfile(io.BytesIO(profile)), _SRGB, outputMode="RGB"
            )
            if converted is not None:
                return converted
    return image.convert("RGB")


def scaled(size: tuple[int, int], long_side: int) -> tuple[int, int]:
    """`(width, height)` in pixels with the same aspect ratio and this long side; each is 1 at least."""
    factor = long_side / max(size)
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def resize(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize with a Lanczos filter to `(width, height)`; an image of that size is returned itself."""
    return image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image -> `(3, H, W)`, fp32, in 0..1, on the CPU."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div(255)


def to_image(pixels: Tensor) -> Image.Image:
    """`(3, H, W)` in 0..1, on any device -> RGB image, rounded to 8 bits."""
    levels = pixels.detach().mul(255).round().clamp(0, 255).byte()
    return Image.fromarray(levels.permute(1, 2, 0).cpu().numpy())


def encode(picture: Picture, form: Format, software: str, notes: Mapping[str, Any]) -> bytes:
    """Encode as PNG, JPEG (quality 95, 4:4:4, on white) or WebP (lossless).

    `software` and `notes` (as JSON) are written to the metadata: PNG text chunks, or EXIF in other formats.
    """
    text = json.dumps(notes)
    image = picture.rgb.copy()
    if picture.alpha is not None:
        image = _remove_white(picture.rgb, picture.alpha)
        if form == "jpg":
            image = _on_white(image, picture.alpha)
        else:
            image.putalpha(picture.alpha)
    out = io.BytesIO()
    if form == "png":
        info = PngInfo()
        info.add_text("Software", software)
        info.add_text("Parameters", text)
        image.save(out, "PNG", pnginfo=info)
        return out.getvalue()
    exif = Image.Exif()
    exif[_EXIF_SOFTWARE], exif[_EXIF_DESCRIPTION] = software, text
    if form == "jpg":
        image.save(out, "JPEG", quality=95, subsampling=0, exif=exif)
    else:
        # Lossy WebP halves the resolution of the chroma, which multiplies the loss. For lossless WebP,
        # `quality` is the effort of compression.
        image.save(out, "WEBP", lossless=True, quality=20, exif=exif)
    return out.getvalue()


def as_saved(rgb: Image.Image, form: Format) -> Image.Image:
    """The picture as it is decoded from the saved file, so with the losses of JPEG compression."""
    return decode(encode(Picture(rgb), form, "", {})).rgb if form == "jpg" else rgb


def _on_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """Compose the picture on white."""
    canvas = Image.new("RGB", rgb.size, "white")
    canvas.paste(rgb, mask=alpha)
    return canvas


def _remove_white(rgb: Image.Image, alpha: Image.Image) -> Image.Image:
    """The inverse of `_on_white`, clipped to 0..255; fully transparent pixels do not change."""
    opacity = np.asarray(alpha, dtype=np.float32)[:, :, None] / 255
    darkness = (255 - np.asarray(rgb, dtype=np.float32)) / np.where(opacity > 0, opacity, 1)
    return Image.fromarray((255 - darkness).round().clip(0, 255).astype(np.uint8))
