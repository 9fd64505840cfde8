"""Measures how many pictures an hour this machine makes at the usual sizes, in a minute or two."""

import json
import resource
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch

from nst.device import device_name, dtype_name, is_out_of_memory
from nst.errors import NSTError
from nst.scales import evaluations_by_scale
from nst.stylizer import Stylizer
from pipeline.engines.side_by_side import best_of, measured, remembered
from pipeline.engines.trial import seconds_per_evaluation, trial_pair

SIZES = (256, 512, 1024)
_EVALUATIONS, _SECONDS = 12, 20.0  # limits for each size


@dataclass(frozen=True)
class Speed:
    """The cost of square pictures of one size; `hourly` is the number of pictures of ten epochs an hour.

    `hourly` leaves out that every fortieth evaluation takes 1.5 times as long as the others.
    """

    size: int
    batch: int
    seconds_per_evaluation: float
    hourly: float
    gigabytes: float


def print_speeds(stylizer: Stylizer) -> None:
    """Print a sentence for each size on a terminal, and one JSON object for each elsewhere.

    Raises `NSTError` at the first size of which no picture fits into the memory.
    """
    shown = sys.stdout.isatty()
    if shown:
        precision = dtype_name(stylizer.dtype)
        print(f"On {device_name(stylizer.device)} with {precision} features, square pictures, 10 epochs:")
    if known := remembered(stylizer):
        stylizer.side_by_side = known
    else:
        rates = measured(stylizer)
        stylizer.side_by_side = best_of(rates)
        if shown:
            found = ", ".join(f"{number}: {rate:.2f}" for number, rate in rates.items())
            print(f"pairs side by side, and evaluations a second at 256 px: {found}")
    for speed in speeds(stylizer):
        if shown:
            print(
                f"{speed.size:5} px: about {speed.hourly:,.0f} pictures an hour, {speed.gigabytes:.1f} GB, "
                f"{speed.batch} at a time"
            )
        else:
            print(json.dumps(asdict(speed)), flush=True)


def speeds(stylizer: Stylizer) -> Iterator[Speed]:
    """Measure one size after the other. Raises `NSTError` at the first one that does not fit into the memory.

    On a GPU, the batches are the largest that fit.
    """
    for size in SIZES:
        pair = trial_pair(size)
        try:
            batch, seconds = stylizer.capacity(pair), 0.0
        except NSTError as error:
            raise NSTError(f"{size} px: {error}") from None
        while not seconds:
            if stylizer.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(stylizer.device)
            try:
                seconds = seconds_per_evaluation(stylizer, pair, batch, _EVALUATIONS, _SECONDS)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                if batch == 1:
                    raise NSTError(f"{size} px: a picture does not fit into the memory at hand") from None
                batch //= 2
        # Each scale has a quarter of the pixels of the next finer one.
        steps = reversed(evaluations_by_scale(pair))
        whole = sum(n * seconds / 4**level for level, n in enumerate(steps))
        yield Speed(size, batch, seconds, 3600 / whole, _peak_gigabytes(stylizer.device))


def _peak_gigabytes(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device) / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
