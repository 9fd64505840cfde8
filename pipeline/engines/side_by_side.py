"""How many pairs this machine should compute side by side on its CPU: measured once, and remembered."""

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

from nst.device import dtype_name, processor_name
from nst.stylizer import Stylizer
from pipeline.engines.trial import WARM, seconds_per_evaluation, trial_pair
from pipeline.events.listener import Listener, Note

_SIZE = 256  # pixels of the trial
_EVALUATIONS = 3  # that are timed in one trial
_SECONDS = 5.0  # after this, no further round of trials begins


def remembered(stylizer: Stylizer) -> int | None:
    """The number that was found on this machine before; none if it must be measured.

    Nothing is to be measured on a GPU, and where PyTorch uses one core.
    """
    if stylizer.device.type != "cpu" or torch.get_num_threads() == 1:
        return 1
    with suppress(OSError, ValueError, AttributeError):
        found = json.loads(_file().read_text()).get(_machine(stylizer))
        return found if isinstance(found, int) and found in _numbers() else None
    return None


def chosen(stylizer: Stylizer, check: Callable[[], None], listener: Listener) -> int:
    """Measure, report and remember the best number. `check` is that of `measured`."""
    rates = measured(stylizer, check)
    number = max(rates, key=lambda number: rates[number])
    gain, memory = rates[number] / rates[1], stylizer.targets.memory.bytes / 1e9
    message = (
        f"pairs are computed {number} at a time: {gain:.2f} times as many as one at a time, measured at "
        f"{_SIZE} px; pictures may take {memory:.1f} GB together"
    )
    listener.hear(Note(message, details={"evaluations_a_second": dict(rates)}))
    try:
        _remember(stylizer, number)
    except OSError as error:
        message = f"every start measures this again; let XDG_CACHE_HOME be a folder for it ({error})"
        listener.hear(Note(message, "warning"))
    return number


def measured(stylizer: Stylizer, check: Callable[[], None] = lambda: None) -> Mapping[int, float]:
    """Try 1, 2, 4, ... pairs side by side; the evaluations a second that each number reached.

    It takes about ten seconds. `check` is called after each evaluation, and ends this if it raises an error.
    """
    pair, before = trial_pair(_SIZE), stylizer.side_by_side
    best: dict[int, float] = {}
    began = time.monotonic()
    try:
        # More than one round, because other programs disturb single trials.
        while not best or time.monotonic() - began < _SECONDS:
            for number in _numbers():
                stylizer.side_by_side = number
                if stylizer.capacity(pair) < number:
                    break
                seconds = seconds_per_evaluation(stylizer, pair, number, WARM + _EVALUATIONS, math.inf, check)
                best[number] = max(best.get(number, 0.0), 1 / seconds)
    finally:
        stylizer.side_by_side = before
    return best


def _remember(stylizer: Stylizer, number: int) -> None:
    file, known = _file(), dict[str, int]()
    with suppress(OSError, ValueError):
        known = dict(json.loads(file.read_text()))
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written whole, because another runner may read it meanwhile.
    draft = file.with_suffix(f".{os.getpid()}")
    draft.write_text(json.dumps({**known, _machine(stylizer): number}, indent=1))
    draft.replace(file)


def _numbers() -> list[int]:
    """1, 2, 4, ... up to the number of cores that PyTorch uses."""
    return [2**power for power in range(torch.get_num_threads().bit_length())]


def _machine(stylizer: Stylizer) -> str:
    """What the number depends on."""
    dtype = dtype_name(stylizer.dtype)
    return f"{processor_name()}, {torch.get_num_threads()} cores, {dtype}, torch {torch.__version__}"


def _file() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(caches, "nst-pipeline", "side-by-side.json")
