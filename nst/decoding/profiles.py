"""ICC profiles for colours that a file describes otherwise: by numbers of ITU-T H.273, or by a gamma."""

import math
import struct
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from nst.decoding.tags import says_adobe_rgb
from nst.errors import ImageError

_D65 = (0.3127, 0.3290)
_ILLUMINANT_C = (0.310, 0.316)
# x and y of red, green, blue and white, by their number in H.273, table 2.
_PRIMARIES: dict[int, tuple[float, ...]] = {
    1: (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *_D65),
    4: (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, *_ILLUMINANT_C),
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, *_D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_ILLUMINANT_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    10: (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_SRGB, _UNSPECIFIED = 13, 2
# A linear part below the last number, which ICC calls a parametric curve of type 3, or a power.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.09929683, 0.09929683 / 1.09929683, 1 / 4.5, 0.08124286)
_BT240_CURVE = (1 / 0.45, 1 / 1.1115, 0.1115 / 1.1115, 1 / 4, 0.0912)
# From stored values to light, by their number in H.273, table 3.
_CURVES: dict[int, tuple[float, ...]] = {
    **dict.fromkeys((1, 6, 11, 12, 14, 15), _BT709_CURVE),
    **{4: (2.2,), 5: (2.8,), 7: _BT240_CURVE, 8: (1.0,), _SRGB: _SRGB_CURVE, 17: (2.6,)},
}
_HDR = {16: "PQ", 18: "HLG"}
_D50 = (0.9642, 1.0, 0.8249)
# Bradford's matrix, from XYZ to responses of cones (ICC.1:2022, annex E).
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]], dtype=np.float64
)


def coded_profile(primaries: int, transfer: int, grey: bool = False) -> bytes | None:
    """The profile for two numbers of H.273; None for sRGB, and where both are unspecified.

    Raises `ImageError` for PQ and HLG, whose light has no place in sRGB without a choice by a person.
    """
    if transfer in _HDR:
        raise ImageError(
            f"an HDR picture (its light is coded as {_HDR[transfer]}); save it as SDR, such as sRGB"
        )
    if primaries in (1, _UNSPECIFIED) and transfer in (_SRGB, _UNSPECIFIED):
        return None
    return _profile(_PRIMARIES.get(primaries, _PRIMARIES[1]), _CURVES.get(transfer, _SRGB_CURVE), grey)


def gamma_profile(exponent: float | None, chromaticities: Sequence[float] | None, grey: bool) -> bytes | None:
    """The profile for an exponent from light to stored values, such as 1/2.2, and for chromaticities.

    These are x and y of red, green, blue and white. None if both are those of sRGB within the accuracy of
    such files, or can't be true.
    """
    points = tuple(chromaticities or _PRIMARIES[1])
    usual = exponent is None or abs(exponent * 2.2 - 1) < 0.05
    if usual and np.allclose(points, _PRIMARIES[1], atol=0.002):
        return None
    if exponent is not None and not 0.05 <= exponent <= 5:
        return None
    return _profile(points, _SRGB_CURVE if exponent is None else (1 / exponent,), grey)


def srgb_profile() -> bytes:
    """The profile of sRGB (IEC 61966-2-1)."""
    return _profile(_PRIMARIES[1], _SRGB_CURVE, False) or b""


def profile_of_exif(exif: bytes) -> bytes | None:
    """The profile of Adobe RGB (1998), if EXIF says that the colours are those."""
    adobe_rgb = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, *_D65)
    return _profile(adobe_rgb, (563 / 256,), False) if says_adobe_rgb(exif) else None


@lru_cache(maxsize=64)
def _profile(points: tuple[float, ...], curve: tuple[float, ...], grey: bool) -> bytes | None:
    """An ICC profile of version 4, with a matrix and a curve, or with the curve alone for greys."""
    name = "sRGB" if (points, curve) == (_PRIMARIES[1], _SRGB_CURVE) else "Colours that the file describes"
    tags = {b"wtpt": _xyz(_D50), b"desc": _text(name), b"cprt": _text("Public domain")}
    if grey:
        tags[b"kTRC"] = _parametric(curve)
    else:
        matrix = _to_d50(points)
        if matrix is None:
            return None
        for letter, column in zip((b"r", b"g", b"b"), matrix.T.tolist(), strict=True):
            tags |= {letter + b"XYZ": _xyz(column), letter + b"TRC": _parametric(curve)}
    return _file(b"GRAY" if grey else b"RGB ", tags)


def _to_d50(points: tuple[float, ...]) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]] | None":
    """The matrix from linear RGB to XYZ relative to D50; None if the white is not within the triangle."""
    corners = np.array(points, dtype=np.float64).reshape(4, 2)
    if not np.isfinite(corners).all() or (corners[:, 1] < 0).any() or corners[3, 1] < 0.01:
        return None
    columns = np.array([[x, y, 1 - x - y] for x, y in corners]).T
    white = columns[:, 3] / columns[1, 3]
    if abs(np.linalg.det(columns[:, :3])) < 1e-4:
        return None
    scales = np.linalg.solve(columns[:, :3], white)
    if (scales <= 0).any():
        return None
    cones = (_BRADFORD @ np.array(_D50)) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    result = adapted @ columns[:, :3] * scales
    return result if np.abs(result).max() < 8 else None


def _file(space: bytes, tags: dict[bytes, bytes]) -> bytes:
    table, body = struct.pack(">I", len(tags)), b""
    begin = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        table += struct.pack(">4sII", name, begin + len(body), len(data))
        body += data.ljust(-(-len(data) // 4) * 4, b"\0")
    head = struct.pack(
        ">I4sI4s4s4s12s4s4sI4s4sQI", begin + len(body), b"", 0x04400000, b"mntr", space, b"XYZ ",
        struct.pack(">6H", 2000, 1, 1, 0, 0, 0), b"acsp", b"", 0, b"", b"", 0, 0,
    )  # fmt: skip
    return (head + _fixed(_D50)).ljust(128, b"\0") + table + body


def _fixed(numbers: Sequence[float]) -> bytes:
    return struct.pack(f">{len(numbers)}i", *(math.floor(n * 65536 + 0.5) for n in numbers))


def _xyz(numbers: Sequence[float]) -> bytes:
    return b"XYZ \0\0\0\0" + _fixed(numbers)


def _parametric(curve: tuple[float, ...]) -> bytes:
    return b"para\0\0\0\0" + struct.pack(">HH", 3 if len(curve) > 1 else 0, 0) + _fixed(curve)


def _text(words: str) -> bytes:
    text = words.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(text), 28) + text
