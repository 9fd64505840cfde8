"""A trial of the device: how long an evaluation of a square picture takes."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from PIL import Image

from nst.images import Picture, to_tensor
from nst.pair import PreparedPair, Style
from nst.parameters import Parameters
from nst.result import Evaluation
from nst.stylizer import Stylizer

WARM = 2  # evaluations that are not counted: they include planning and allocation


class _EnoughError(Exception):
    pass


def trial_pair(size: int) -> PreparedPair:
    """A square pair of this many pixels a side."""
    content = Image.effect_noise((size, size), 80).convert("RGB")
    style = Image.effect_mandelbrot((size, size), (-2, -1.5, 1, 1.5), 80).convert("RGB")
    return PreparedPair.prepare(Picture(content), [(Style(style), 1.0)], Parameters(max_size=size))


def finest(pair: PreparedPair) -> PreparedPair:
    """The pair with its finest scale only, started from the content."""
    regions = pair.regions and pair.regions.finest
    starts = to_tensor(pair.contents[-1])[None]
    return replace(pair, contents=pair.contents[-1:], starts=starts, regions=regions)


def seconds_per_evaluation(
    stylizer: Stylizer,
    pair: PreparedPair,
    batch: int,
    evaluations: int,
    seconds: float,
    check: Callable[[], None] = lambda: None,
) -> float:
    """The seconds of an evaluation of one pair at its finest scale, if so many are computed together.

    It ends after so many evaluations, or after so many seconds if one has been timed. `check` is called after
    each, and ends the trial if it raises an exception.
    """
    times: list[float] = []  # when each evaluation of any of the pairs was done
    began = time.perf_counter()

    def record_time(index: int, evaluation: Evaluation) -> None:
        check()
        times.append(time.perf_counter() - began)
        late = times[-1] > seconds and len(times) >= (WARM + 1) * batch
        if late or len(times) >= evaluations * batch:
            raise _EnoughError

    with suppress(_EnoughError):
        stylizer.run([finest(pair)] * batch, record_time)
    warm = WARM * batch
    return (times[-1] - times[warm - 1]) / (len(times) - warm)
