"""Padding in place of alpha does not make a picture invisible, and colours times alpha are divided by it."""

import io
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from nst import images
from tests.nst.making import tiff_of

SIZE = 20
COLOR = bytes([90, 180, 60])  # blue, green, red


def tga(alpha: int, declared: int) -> bytes:
    header = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, SIZE, SIZE, 32, 0x20 | declared)
    return header + (COLOR + bytes([alpha])) * SIZE**2


def bmp(alpha: int, declared: int, header: int = 40) -> bytes:
    """A BMP of 32 bits; a header of more than 40 bytes has masks, one for transparency if `declared`."""
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000 * bool(declared)) if header > 40 else b""
    pixels = (COLOR + bytes([alpha])) * SIZE**2
    kind = 3 if masks else 0
    head = struct.pack("<IiiHHIIiiII", header, SIZE, SIZE, 1, 32, kind, len(pixels), 0, 0, 0, 0)
    head = (head + masks).ljust(header, b"\0")
    begin = 14 + len(head)
    return struct.pack("<2sIHHI", b"BM", begin + len(pixels), 0, 0, begin) + head + pixels


@pytest.mark.parametrize(
    "data",
    [tga(0, 0), bmp(0, 0), bmp(0, 0, 56), bmp(0, 0, 108), bmp(0, 0, 124)],
    ids=["TGA", "BMP", "BMP 56", "BMP 4", "BMP 5"],
)
def test_zero_is_padding_where_the_header_says_no_transparency(data: bytes) -> None:
    found = images.decode(data)
    assert found.alpha is None
    assert found.rgb.getpixel((3, 3)) == (60, 180, 90)


@pytest.mark.parametrize("data", [tga(0, 8), bmp(0, 8, 108)], ids=["TGA", "BMP"])
def test_zero_is_transparent_where_the_header_says_so(data: bytes) -> None:
    found = images.decode(data)
    assert found.alpha is not None
    assert found.alpha.getextrema() == (0, 0)


def test_other_values_are_transparency_whatever_the_header_of_a_tga_says() -> None:
    found = images.decode(tga(128, 0))
    assert found.alpha is not None
    assert found.alpha.getextrema() == (128, 128)


def test_zero_in_a_fourth_band_of_a_tiff_that_says_nothing_of_it_is_padding() -> None:
    pixels = np.zeros((SIZE, SIZE, 4), np.uint16)
    pixels[:, :, 0] = 65535
    found = images.decode(tiff_of(pixels, 2))
    assert found.alpha is None
    assert found.rgb.getpixel((0, 0)) == (255, 0, 0)


@pytest.mark.parametrize("compression", ["raw", "zstd"])
def test_zero_in_a_fourth_band_of_a_compressed_tiff_is_padding_unless_the_file_says_what_it_is(
    compression: str,
) -> None:
    for mode, padding in (("RGBX", True), ("RGBA", False)):
        data = io.BytesIO()
        Image.new(mode, (SIZE, SIZE), (255, 0, 0, 0)).save(data, "TIFF", compression=compression)
        found = images.decode(without_tag(data.getvalue(), 338) if padding else data.getvalue())
        assert (found.alpha is None) == padding
        assert found.rgb.getpixel((0, 0)) == ((255, 0, 0) if padding else (255, 255, 255))


def without_tag(data: bytes, tag: int) -> bytes:
    """A TIFF file in which this tag has a number that means nothing."""
    old, new = tag.to_bytes(2, "little"), (60_000).to_bytes(2, "little")
    (place,) = struct.unpack("<I", data[4:8])
    (count,) = struct.unpack("<H", data[place : place + 2])
    end = place + 2 + 12 * count
    table = [data[start : start + 12] for start in range(place + 2, end, 12)]
    table = [new + entry[2:] if entry[:2] == old else entry for entry in table]
    table.sort(key=lambda entry: entry[1::-1])
    return data[: place + 2] + b"".join(table) + data[end:]


def test_colours_of_16_bits_that_were_multiplied_by_alpha_are_divided_by_it() -> None:
    heif = pytest.importorskip("pillow_heif")
    pixels = np.broadcast_to(np.array([20000, 10000, 5000, 32768], np.uint16), (32, 32, 4))
    file, data = heif.from_bytes("RGBA;16", (32, 32), pixels.tobytes()), io.BytesIO()
    file[0].premultiplied_alpha = True
    file.save(data, quality=-1)
    found = images.decode(data.getvalue())
    assert found.alpha and found.alpha.getpixel((3, 3)) == 128
    # Half of the colours 40000, 20000 and 10000 of 65535, on white.
    assert found.rgb.getpixel((3, 3)) == pytest.approx((205, 166, 147), abs=1)


def psd(layers: int, identifiers: Sequence[int] = ()) -> bytes:
    """A PSD whose fourth band is 0 everywhere, with this number of layers, and identifiers of its bands."""
    resource = struct.pack(f">{len(identifiers)}I", *identifiers)
    resources = b"8BIM" + struct.pack(">HHI", 1053, 0, len(resource)) + resource if identifiers else b""
    count = struct.pack(">Ihh", 4, layers, 0) if layers else b""
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 4, SIZE, SIZE, 8, 3)
    parts = (struct.pack(">I", len(part)) + part for part in (b"", resources, count))
    return head + b"".join(parts) + b"\0\0" + b"".join(bytes([v]) * SIZE**2 for v in (60, 180, 90, 0))


@pytest.mark.parametrize("data", [psd(1), psd(0, [7])], ids=["layers", "no layers"])
def test_a_saved_selection_of_a_psd_is_no_transparency(data: bytes) -> None:
    found = images.decode(data)
    assert found.alpha is None
    assert found.rgb.getpixel((3, 3)) == (60, 180, 90)


def test_a_psd_of_one_pixel_is_read() -> None:
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 1, 1, 8, 3)
    found = images.decode(head + struct.pack(">III", 0, 0, 0) + b"\0\0" + bytes([60, 180, 90]))
    assert (found.rgb.getpixel((0, 0)), found.alpha) == ((60, 180, 90), None)


@pytest.mark.parametrize("data", [psd(-1), psd(-1, [0, 7]), psd(0), psd(0, [0])])
def test_the_transparency_of_a_psd_is_read(data: bytes) -> None:
    found = images.decode(data)
    assert found.alpha is not None
    assert found.alpha.getextrema() == (0, 0)
