"""Small pictures of a run that is not finished yet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class PreviewCallbacks:
    """What a caller of `Stylizer.run` gives to get previews: the best pictures so far, reduced.

    After each step `wanted` returns the indices of the pairs to preview now. It should return none most of
    the time: each preview copies a picture from the device, and waits until the device has computed it.
    `show` gets each index with its picture, an RGB image in 8 bits whose long side has at most `long_side`
    pixels. An exception that one of the two raises ends the run.
    """

    wanted: Callable[[], Sequence[int]]
    show: Callable[[int, Image.Image], None]
    long_side: int = 256
