"""Measures how many pictures an hour this machine makes at the usual sizes, in a minute or two."""

import json
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import torch
from PIL import Image

from nst.device import device_name, dtype_name, is_out_of_memory
from nst.images import Picture, to_tensor
from nst.pair import PreparedPair, Style
from nst.parameters import ITERATIONS_PER_EPOCH, Parameters
from nst.result import Evaluation
from nst.scales import split
from nst.stylizer import Stylizer

SIZES = (256, 512, 1024)
_EVALUATIONS, _SECONDS = 12, 20.0  # limits for each size
_WARM = 2  # evaluations that are not counted: they include planning and allocation


class _EnoughError(Exception):
    pass


@dataclass(frozen=True)
class Speed:
    """The cost of square pictures of one size; `hourly` is the number of pictures of ten epochs an hour.

    It ignores that every fortieth evaluation takes 1.5 times as long as the others.
    """

    size: int
    batch: int
    seconds_per_evaluation: float
    hourly: float
    gigabytes: float


def print_speeds(stylizer: Stylizer) -> None:
    """Print a sentence for each size on a terminal, and one JSON object for each elsewhere."""
    shown = sys.stdout.isatty()
    if shown:
        precision = dtype_name(stylizer.dtype)
        print(f"On {device_name(stylizer.device)} with {precision} features, square pictures, 10 epochs:")
    for speed in speeds(stylizer):
        if shown:
            print(
                f"{speed.size:5} px: about {speed.hourly:,.0f} pictures an hour, {speed.gigabytes:.1f} GB, "
                f"{speed.batch} at a time"
            )
        else:
            print(json.dumps(asdict(speed)), flush=True)


def speeds(stylizer: Stylizer) -> Iterator[Speed]:
    """Measure one size after the other until a picture does not fit into memory.

    On a GPU, the batches are the largest that fit.
    """
    for size in SIZES:
        pair = _pair(size)
        batch, seconds = stylizer.capacity(pair), 0.0
        while not seconds:
            if stylizer.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(stylizer.device)
            try:
                seconds = _seconds_per_evaluation(stylizer, pair, batch)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if batch == 1:
                    return
                batch //= 2
        # Each scale has a quarter of the pixels of the next finer one.
        steps = split(Parameters().epochs * ITERATIONS_PER_EPOCH, len(pair.contents))
        whole = sum(n * seconds / 4**level for level, n in enumerate(reversed(steps)))
        yield Speed(size, batch, seconds, 3600 / whole, _peak_gigabytes(stylizer.device))


def finest(pair: PreparedPair) -> PreparedPair:
    """The pair with its finest scale only, started from the content."""
    regions = pair.regions and pair.regions.finest
    starts = to_tensor(pair.contents[-1])[None]
    return replace(pair, contents=pair.contents[-1:], starts=starts, regions=regions)


def _pair(size: int) -> PreparedPair:
    content = Image.effect_noise((size, size), 80).convert("RGB")
    style = Image.effect_mandelbrot((size, size), (-2, -1.5, 1, 1.5), 80).convert("RGB")
    return PreparedPair.prepare(Picture(content), [(Style(style), 1.0)], Parameters(max_size=size))


def _seconds_per_evaluation(stylizer: Stylizer, pair: PreparedPair, batch: int) -> float:
    times: list[float] = []
    began = time.perf_counter()

    def record_time(index: int, evaluation: Evaluation) -> None:
        if index == 0:
            times.append(evaluation.seconds)
        late = time.perf_counter() - began > _SECONDS and len(times) > _WARM
        if late or len(times) >= _EVALUATIONS:
            raise _EnoughError

    with suppress(_EnoughError):
        stylizer.run([finest(pair)] * batch, record_time)
    return (times[-1] - times[_WARM - 1]) / (len(times) - _WARM)


def _peak_gigabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
