"""How many pairs this machine should compute side by side on its CPU: measured once, and remembered."""

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch

import nst
from nst.device import dtype_name, processor_name
from nst.stylizer import Stylizer
from pipeline.engines.trial import WARM, seconds_per_evaluation, trial_pair
from pipeline.events.listener import Listener, Note

_SIZE = 256  # pixels of the trial
_EVALUATIONS = 3  # of each pair that are timed in one trial
_SECONDS = 5.0  # after this, a trial ends early, and no further round of trials begins
_GAIN = 1.03  # more pairs at a time take more memory, so they must be faster by this factor at least


def remembered(stylizer: Stylizer) -> int | None:
    """The number that was found on this machine before; none if it must be measured.

    Nothing is to be measured on a GPU, and where PyTorch uses one core.
    """
    if stylizer.device.type != "cpu" or torch.get_num_threads() == 1:
        return 1
    return _known().get(_machine(stylizer))


def chosen(stylizer: Stylizer, check: Callable[[], None], listener: Listener) -> int:
    """Measure, report and remember the best number. `check` is that of `measured`."""
    rates = measured(stylizer, check)
    number = best_of(rates)
    gain, memory = rates[number] / rates[1], stylizer.targets.memory.bytes / 1e9
    message = (
        f"pairs are computed {number} at a time, which makes {gain:.2f} times as many as one at a time, "
        f"measured at {_SIZE} px; pictures may take {memory:.1f} GB together"
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

    It takes about ten seconds, and ends where more pairs are slower. `check` is called after each evaluation,
    and ends this if it raises an error.
    """
    pair, numbers, before = trial_pair(_SIZE), _numbers(stylizer), stylizer.side_by_side
    best: dict[int, float] = {}
    began = time.monotonic()
    try:
        # More than one round, because other programs disturb single trials.
        while not best or time.monotonic() - began < _SECONDS:
            for number in numbers:
                stylizer.side_by_side = number
                try:
                    seconds = seconds_per_evaluation(
                        stylizer, pair, number, WARM + _EVALUATIONS, _SECONDS, check
                    )
                except (RuntimeError, MemoryError):  # too little memory, or too many threads
                    if number == 1:
                        raise
                    break
                best[number] = max(best.get(number, 0.0), 1 / seconds)
                if best[number] < max(best.values()):
                    break
    finally:
        stylizer.side_by_side = before
    return best


def best_of(rates: Mapping[int, float]) -> int:
    """The lowest number that is nearly as fast as the fastest one."""
    return min(number for number, rate in rates.items() if _GAIN * rate >= max(rates.values()))


def _numbers(stylizer: Stylizer) -> list[int]:
    """1, 2, 4, ... up to the number of cores that PyTorch uses, as far as the memory is enough."""
    most = min(torch.get_num_threads(), stylizer.fitting(trial_pair(_SIZE)))
    return [2**power for power in range(most.bit_length())]


def _machine(stylizer: Stylizer) -> str:
    """What the number depends on."""
    cores, dtype = torch.get_num_threads(), dtype_name(stylizer.dtype)
    versions = f"torch {torch.__version__}, nst {nst.__version__}"
    return f"{processor_name()}, {cores} cores, at most {max(_numbers(stylizer))}, {dtype}, {versions}"


def _remember(stylizer: Stylizer, number: int) -> None:
    known = {**_known(), _machine(stylizer): number}
    _file().parent.mkdir(parents=True, exist_ok=True)
    # Written whole, because another runner may read it meanwhile.
    draft = _file().with_suffix(f".{secrets.token_hex(8)}")
    draft.write_text(json.dumps(known, indent=1))
    draft.replace(_file())


def _known() -> dict[str, int]:
    """What the file has; nothing if there is none, or if it is damaged."""
    with suppress(OSError, ValueError):
        found = json.loads(_file().read_text())
        if isinstance(found, dict):
            return {key: number for key, number in found.items() if type(number) is int and number > 0}
    return {}


def _file() -> Path:
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(caches, "nst-pipeline", "side-by-side.json")
