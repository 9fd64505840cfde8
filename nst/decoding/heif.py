"""AVIF and HEIC, which share a container: AVIF with libvips, HEIC with the optional pillow-heif."""

from dataclasses import replace

from nst.decoding import vips
from nst.decoding.boxes import coded_colours
from nst.decoding.opened import Opened, Samples
from nst.decoding.profiles import coded_profile
from nst.decoding.tags import notes_of_exif
from nst.errors import ImageError

_EXIF = "exif-data"
_MEMORY, _MEMORY_DEEP = 24, 32  # the decoder has the whole picture in other colours, too


def open_avif(data: bytes) -> Opened:
    """Read the header. Raises `ImageError` and `pyvips.Error`."""
    image = vips.lazy("heif", data)
    exif = bytes(image.get(_EXIF)) if image.get_typeof(_EXIF) else b""
    memory = _MEMORY if image.format == "uchar" else _MEMORY_DEEP
    opened = Opened(
        image.width,
        image.height,
        notes_of_exif(exif),
        lambda _: Samples(image, image.bands in (2, 4)),
        memory,
    )
    return _with_colours(opened, data, vips.profile_of(image))


def open_heic(data: bytes) -> Opened:
    """Read the header. Raises `ImageError`, also without the package, and errors of pillow-heif."""
    try:
        import pillow_heif
    except ImportError:
        raise ImageError(
            "a HEIC picture, which needs an optional package: pip install '.[heic]' in a checkout"
        ) from None
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=False)
    picture = file[file.primary_index]
    mode, _, deep = picture.mode.partition(";")

    def read(shrink: int) -> Samples:
        pixels, kind = picture.data, "ushort" if deep else "uchar"
        image = vips.of_pixels(pixels, *picture.size, len(mode), kind)
        return Samples(vips.unpremultiplied(image) if mode.endswith("a") else image, len(mode) in (2, 4))

    opened = Opened(
        *picture.size,
        notes_of_exif(_bytes(picture.info.get("exif"))),
        read,
        _MEMORY_DEEP if deep else _MEMORY,
    )
    return _with_colours(opened, data, _bytes(picture.info.get("icc_profile")) or None)


def _bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else b""


def _with_colours(opened: Opened, data: bytes, profile: bytes | None) -> Opened:
    """With the profile of the file or, if it has none, that of its coded colours.

    The decoders turn the pixels upright themselves, as these formats say, whatever EXIF says.
    """
    coded = coded_colours(data)
    described = coded_profile(*coded) if coded else None  # an error for HDR, also where there is a profile
    return replace(opened, notes=replace(opened.notes, orientation=1, profile=profile or described))
