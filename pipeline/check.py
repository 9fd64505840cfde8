"""Everything about a manifest that can be found wrong without working on it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nst.available import AvailableMemory, most_for_pictures
from nst.device import pick_device, pick_dtype
from nst.errors import NSTError
from nst.memory import Demand, plan
from nst.pair import PreparedPair
from pipeline.engines.prepare import Preparer
from pipeline.engines.wording import in_words
from pipeline.errors import Problem, UsageError, problems_of
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Caps, Settings
from pipeline.stores.opening import Stores
from pipeline.stores.search import Search
from pipeline.work.job import job_of_file


def check(
    path: Path,
    stores: Stores,
    allow: Sequence[str],
    outbox: Outbox | None,
    caps: Caps = Caps(),
    warn: Callable[[str], None] = lambda message: None,
    fits: Callable[[PreparedPair], str] = lambda pair: "",
) -> tuple[int, list[Problem]]:
    """How many pairs a manifest file stands for, and what is wrong with it and with the images that it names.

    Images are relative to the manifest's folder, or lie below the URLs in `allow`. Patterns skip results in
    `outbox`. `caps` are those of the operator. `warn` gets a sentence about each file that a pattern leaves
    out. `fits` raises `NSTError` for a pair that needs more memory than there can be, and returns a warning
    for one that needs more than is free now. Raises `UsageError` for an entry of `allow` that is no URL.
    """
    results_among = outbox.results_among if outbox else None
    sources = stores.sources(str(path.parent), allow, results_among)
    try:
        job = job_of_file(path, sources, caps, Search(warn=warn))
    except NSTError as error:
        return 0, problems_of(error)
    preparer, problems = Preparer("", caps.pixels), []
    for pair in job.pairs:
        try:
            prepared = preparer.prepare(pair, preparer.read(pair, job.sources))
            warning = fits(prepared.pair)
            for note in [*prepared.notes, *filter(None, [warning])]:
                warn(f"{pair.place}: {note}" if pair.place else note)
        except Exception as error:
            # One pair must not hide what is wrong with the others, whatever it raises.
            problems += problems_of(in_words(error, pair), pair.place, pair.id)
    return len(job.pairs), problems


def listed(problems: Sequence[Problem]) -> list[str]:
    """The problems as sentences. Pairs with the same place and message, as in a product, share one."""
    alike: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        alike.setdefault((problem.place, problem.message), []).append(problem)
    return [f"{first}{_also(len(others))}" for first, *others in alike.values()]


def _also(others: int) -> str:
    return f" (and {others:,} more pair{'s' * (others > 1)})" if others else ""


def memory_of(settings: Settings, warn: Callable[[str], None]) -> Callable[[PreparedPair], str]:
    """A function that compares what a pair needs with the memory of the device.

    It raises `NSTError` for a pair that needs more than these settings or this machine allow. It returns a
    warning for a pair that needs more than is free now, and an empty text for all others. It accepts every
    pair if actors on other machines compute the pairs, or if the memory of the device can't be measured;
    then `warn` gets a sentence. Raises `UsageError` if there is no such device or type.
    """
    if settings.engine == "ray":
        return lambda pair: ""
    try:
        device = pick_device(settings.device)
        dtype = pick_dtype(settings.dtype, device)
        now = AvailableMemory(device, settings.memory)
        most = most_for_pictures(device) if now.given is None else now.bytes
    except NSTError as error:
        raise UsageError(str(error)) from error
    except RuntimeError as error:
        warn(f"pairs are not compared with the memory of the device, which can't be measured: {error}")
        return lambda pair: ""

    def fits(pair: PreparedPair) -> str:
        demand = Demand.of(pair)
        plan(demand, most, device, dtype, now.given)
        try:
            plan(demand, min(most, now.bytes), device, dtype, now.given)
        except NSTError as error:
            return f"{error}; it is refused unless more is free when it is computed"
        return ""

    return fits
