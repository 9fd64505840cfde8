"""TIFF 6.0 and BigTIFF, and the raw files of cameras, which have the same structure."""

import io
from dataclasses import replace

import pyvips
from PIL import Image

from nst.decoding import pillow, vips
from nst.decoding.depth import of_floats, of_integers
from nst.decoding.opened import Notes, Opened, Samples
from nst.decoding.profiles import profile_of_exif
from nst.decoding.tags import SUB_IFDS, Structure, Tags, dpi_of, number, orientation_of
from nst.errors import ImageError

_SUBFILE, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 258, 259, 262
_MAKE, _EXTRA_SAMPLES, _PROFILE, _XMP = 271, 338, 34675, 700
_STRIPS, _STRIP_BYTES, _TILES, _TILE_BYTES = 273, 279, 324, 325
_DNG_VERSION = 50706
_WHITE_IS_ZERO, _YCBCR, _CIELAB, _ICC_LAB, _MOSAIC, _LINEAR_RAW = 0, 6, 8, 9, 32803, 34892
_REDUCED = 1
_JPEG, _LZMA, _ZSTD, _WEBP, _JPEG_XL = 7, 34925, 50000, 50001, 50002
_MEMORY, _MEMORY_DEEP = 20, 24  # bytes for a pixel; deep ones for each sample


def is_raw(data: bytes) -> bool:
    """Whether these are the samples of a camera's sensor, of which a decoder would find the preview."""
    structure = Structure.of(data)
    if structure is None:
        return False
    if data[8:10] == b"CR":  # Canon's CR2
        return True
    for index, tags in enumerate(structure.directories()):
        if _DNG_VERSION in tags or number(tags, _PHOTOMETRIC, 0) in (_MOSAIC, _LINEAR_RAW):
            return True
        if index == 0 and _MAKE in tags and SUB_IFDS in tags and int(number(tags, _SUBFILE, 0)) & _REDUCED:
            return True
    return False


def open_tiff(data: bytes) -> Opened:
    """Read the header of the first picture that is no preview. Raises `ImageError` and errors of decoders."""
    structure = Structure.of(data)
    pages = list(structure.directories(below=False)) if structure else []
    page = next((n for n, tags in enumerate(pages) if not int(number(tags, _SUBFILE, 0)) & _REDUCED), 0)
    if not pages or not pages[page]:
        raise ImageError("incomplete: it ends before its pixels")
    tags, exif = pages[page], data if page == 0 else b""
    if _pillow_reads_it_better(tags):
        image = Image.open(io.BytesIO(data), formats=["TIFF"])
        image.seek(page)
        found = pillow.opened(image, lambda samples: _checked(samples, tags))
        return replace(found, notes=pillow.upright(_notes(tags, exif), image))
    _check_places(tags, len(data))
    image = vips.lazy("tiff", data, "truncated", page=page)  # it warns of unknown tags
    plain = image.format in ("uchar", "ushort")

    def read(shrink: int) -> Samples:
        samples = _samples(image, tags)
        return replace(samples, image=vips.shrunk(samples.image, shrink))

    memory = _MEMORY if plain else _MEMORY_DEEP * image.bands
    return Opened(
        image.width, image.height, _notes(tags, exif), read, memory, shrinks=plain and image.bands in (1, 3)
    )


def _check_places(tags: Tags, size: int) -> None:
    """Raise `ImageError` if strips or tiles of pixels lie beyond the end of the file."""
    for offsets, counts in ((_STRIPS, _STRIP_BYTES), (_TILES, _TILE_BYTES)):
        places = zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        if any(offset + count > size for offset, count in places):
            raise ImageError("incomplete: it ends within its pixels")


def _pillow_reads_it_better(tags: Tags) -> bool:
    bits, kind = number(tags, _BITS, 1), number(tags, _PHOTOMETRIC, 0)
    compression = number(tags, _COMPRESSION, 1)
    return (
        (kind == _YCBCR and compression != _JPEG)
        or (kind == _CIELAB and bits == 8)
        or bits not in (1, 2, 4, 8, 16, 32)
        or compression in (_LZMA, _ZSTD, _WEBP, _JPEG_XL)
    )


def _notes(tags: Tags, exif: bytes) -> Notes:
    xmp, profile = tags.get(_XMP, b""), tags.get(_PROFILE)
    orientation = orientation_of(tags, xmp if isinstance(xmp, bytes) else b"")
    profile = profile if isinstance(profile, bytes) and profile else profile_of_exif(exif)
    return Notes(orientation, dpi_of(tags), profile, exif)


def _samples(image: pyvips.Image, tags: Tags) -> Samples:
    kind = number(tags, _PHOTOMETRIC, 0)
    if kind in (_CIELAB, _ICC_LAB):
        return Samples(_lab(image, kind), lab=True)
    colours = 4 if image.interpretation == "cmyk" else 3 if image.bands >= 3 and kind not in (0, 1) else 1
    alpha = image.bands > colours and number(tags, _EXTRA_SAMPLES, 2) in (1, 2)
    image = image.extract_band(0, n=colours + alpha) if image.bands > colours + alpha else image
    if image.format not in ("uchar", "ushort"):
        values = image.numpy()
        levels = of_floats(values) if image.format in ("float", "double") else of_integers(values)
        if kind == _WHITE_IS_ZERO and image.format != "uint":  # libvips inverts unsigned samples only
            levels = 65535 - levels
        image = vips.of_pixels(levels.tobytes(), image.width, image.height, image.bands, "ushort")
    return _checked(Samples(image, alpha), tags)


def _checked(samples: Samples, tags: Tags) -> Samples:
    """The same without an undeclared band of zeros, which is no transparency."""
    if not samples.alpha or _EXTRA_SAMPLES in tags:
        return samples
    # In memory, because it is read from the file only once.
    return replace(samples, image=samples.image.copy_memory()).without_zero_alpha()


def _lab(image: pyvips.Image, kind: float) -> pyvips.Image:
    """CIELAB as floats, L from 0 to 100, from the two ways in which TIFF codes it."""
    image = image.extract_band(0, n=3)
    if image.interpretation == "labs":
        return image.colourspace("lab")
    if image.format == "uchar":
        return image.linear([100 / 255, 1, 1], [0, -128, -128])
    return image.linear([100 / 65280, 1 / 256, 1 / 256], [0, -128, -128])
