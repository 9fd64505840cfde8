"""What this machine will do: pictures an hour at the usual sizes, found out in a minute or two."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from PIL import Image

from nst.device import is_out_of_memory
from nst.images import Picture, to_tensor
from nst.pair import PreparedPair, Style
from nst.parameters import ITERATIONS_PER_EPOCH, Parameters
from nst.result import Evaluation
from nst.scales import split
from nst.stylizer import Stylizer

SIZES = (256, 512, 1024)
_EVALUATIONS, _SECONDS = 12, 20.0  # at most, for each size
_WARM = 2  # evaluations that are not counted: the first ones plan and allocate


class _EnoughError(Exception):
    pass


@dataclass(frozen=True)
class Speed:
    """What square pictures of one size cost; `hourly` counts those of ten epochs.

    Every fortieth evaluation, which takes half as long again, is left out.
    """

    size: int
    batch: int
    seconds_per_evaluation: float
    hourly: float
    gigabytes: float


def speeds(stylizer: Stylizer) -> Iterator[Speed]:
    """Measure one size after the other, as far as they fit; on a GPU, in batches as large as it allows."""
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
        # Each coarser scale has a quarter of the next one's pixels.
        steps = split(Parameters().epochs * ITERATIONS_PER_EPOCH, len(pair.contents))
        whole = sum(n * seconds / 4**level for level, n in enumerate(reversed(steps)))
        yield Speed(size, batch, seconds, 3600 / whole, _peak_gigabytes(stylizer.device))


def finest(pair: PreparedPair) -> PreparedPair:
    """The pair without its coarser scales, to start from the content."""
    return replace(pair, contents=pair.contents[-1:], starts=to_tensor(pair.contents[-1])[None])


def _pair(size: int) -> PreparedPair:
    content = Image.effect_noise((size, size), 80).convert("RGB")
    style = Image.effect_mandelbrot((size, size), (-2, -1.5, 1, 1.5), 80).convert("RGB")
    return PreparedPair.prepare(Picture(content), [(Style(style), 1.0)], Parameters(max_size=size))


def _seconds_per_evaluation(stylizer: Stylizer, pair: PreparedPair, batch: int) -> float:
    seen: list[float] = []
    began = time.perf_counter()

    def look(index: int, evaluation: Evaluation) -> None:
        if index == 0:
            seen.append(evaluation.seconds)
        late = time.perf_counter() - began > _SECONDS and len(seen) > _WARM
        if late or len(seen) >= _EVALUATIONS:
            raise _EnoughError

    with suppress(_EnoughError):
        stylizer.run([finest(pair)] * batch, look)
    return (seen[-1] - seen[_WARM - 1]) / (len(seen) - _WARM)


def _peak_gigabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
