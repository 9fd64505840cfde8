"""Broken and hostile files are either decoded or rejected with a message of one line."""

import io
import random
import zlib
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, ImageCms

from nst import images
from nst.decoding.profiles import coded_profile, srgb_profile
from nst.errors import ImageError
from tests.conftest import make_picture
from tests.nst.making import LONG, RATIONAL, SHORT, TEXT, jpeg_with, png, png_header, png_of, tiff, tiff_of

FORMATS = (
    "PNG",
    "JPEG",
    "WEBP",
    "TIFF",
    "GIF",
    "BMP",
    "MPO",
    "ICO",
    "PPM",
    "AVIF",
    "HEIF",
    "JPEG2000",
    "TGA",
)


def saved(form: str, **options: object) -> bytes:
    file = io.BytesIO()
    make_picture(40, 32).save(file, form, **options)
    return file.getvalue()


def assert_decoded_or_rejected(data: bytes) -> None:
    try:
        picture = images.decode(data)
    except ImageError as error:
        assert 0 < len(str(error)) < 500
        assert "\n" not in str(error)
    else:
        assert picture.rgb.mode == "RGB"
        assert picture.alpha is None or picture.alpha.size == picture.rgb.size
        if picture.exif or picture.dpi:  # what goes from a content to its result must be usable, too
            kept = images.kept_exif(picture.exif)
            images.encode(images.Picture(make_picture(), None, picture.dpi, kept), "jpg", "", {})


def special() -> Iterator[tuple[str, bytes]]:
    """Files with all that is read beside the pixels, and with samples of other depths."""
    exif = tiff(
        {0x0112: (SHORT, [6]), 0x011A: (RATIONAL, [72, 1]), 0x8769: (LONG, [8]), 0x9003: (TEXT, b"2020")}
    )
    yield "exif", jpeg_with(saved("JPEG", progressive=True), (0xE1, b"Exif\0\0" + exif))
    yield "icc", saved("JPEG", icc_profile=coded_profile(12, 13))
    yield "webp", saved("WEBP", exif=b"Exif\0\0" + exif, icc_profile=srgb_profile())
    chunks_of_colours = [
        (b"gAMA", bytes(3) + b"\xff"),
        (b"cHRM", bytes(32)),
        (b"cICP", bytes([12, 13, 0, 1])),
    ]
    yield "png", png_of(np.zeros((20, 20, 3), np.uint16), 2, (b"eXIf", exif), *chunks_of_colours)
    for kind, sample in (("u4", 1), ("i2", 2), ("f4", 3)):
        yield f"tiff {kind}", tiff_of(np.zeros((20, 20), kind), 0, ">", sample)
    yield "tiff lab", tiff_of(np.zeros((20, 20, 3), np.uint8), 9, more={34675: (7, list(srgb_profile()))})
    yield "raw", tiff_of(np.zeros((20, 20), np.uint8), 1, below={262: (SHORT, [32803])})


SPECIAL = dict(special())


@pytest.fixture(params=[*FORMATS, *SPECIAL])
def whole(request: pytest.FixtureRequest) -> bytes:
    if request.param in SPECIAL:
        return SPECIAL[request.param]
    if request.param not in Image.SAVE:
        pytest.skip(f"this Pillow can't write {request.param}")
    return saved(request.param)


def test_a_truncated_file_is_decoded_or_rejected(whole: bytes) -> None:
    for length in [*range(min(len(whole), 300)), *range(300, len(whole), 7)]:
        assert_decoded_or_rejected(whole[:length])


def test_a_file_with_wrong_bytes_is_decoded_or_rejected(whole: bytes) -> None:
    generator = random.Random(0)
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(generator.randint(1, 4)):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        assert_decoded_or_rejected(bytes(damaged))


def hostile() -> Iterator[tuple[str, bytes]]:
    pixels = zlib.compress(b"\0" * 10**6)
    yield (
        "more pixels than any picture has",
        png(png_header(2**31 - 1, 2**31 - 1), (b"IDAT", pixels), (b"IEND", b"")),
    )
    yield "many pixels", png(png_header(60_000, 60_000), (b"IDAT", pixels), (b"IEND", b""))
    yield "no pixels", png(png_header(0, 0), (b"IDAT", pixels), (b"IEND", b""))
    text = b"k\0\0" + zlib.compress(b"a" * 10**7)
    yield (
        "a decompression bomb in a text",
        png(png_header(20, 20), (b"zTXt", text), (b"IDAT", pixels), (b"IEND", b"")),
    )
    profile = b"p\0\0" + zlib.compress(b"\0" * 10**7)
    yield "a decompression bomb in a profile", png(png_header(20, 20), (b"iCCP", profile), (b"IDAT", pixels))
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    yield "a long profile", saved("JPEG", icc_profile=srgb + b"\0" * 10**6)
    yield "an invalid profile", saved("PNG", icc_profile=b"\xff" * 1000)
    yield "Exif that is too short", saved("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    frames = [make_picture(32, 32, seed) for seed in range(50)]
    yield "fifty frames", saved("GIF", save_all=True, append_images=frames)
    yield "frames of several sizes", saved("MPO", save_all=True, append_images=[make_picture(64, 16)])
    yield "an HTML page", b"<html><body>404</body></html>"
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
    yield "an SVG", b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>"
    yield "zeros", bytes(10**6)


HOSTILE = dict(hostile())


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_decoded_or_rejected(name: str) -> None:
    assert_decoded_or_rejected(HOSTILE[name])
