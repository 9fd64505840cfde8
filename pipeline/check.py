"""Everything about a manifest that can be found wrong without working on it."""

from collections.abc import Callable, Sequence
from pathlib import Path

from nst.available import AvailableMemory
from nst.device import pick_device, pick_dtype
from nst.errors import NSTError
from nst.memory import Demand, plan
from nst.pair import PreparedPair
from pipeline.engines.prepare import Preparer
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
    fits: Callable[[PreparedPair], object] = lambda pair: None,
) -> tuple[int, list[Problem]]:
    """How many pairs a manifest file stands for, and what is wrong with it and with the images that it names.

    Images are relative to the manifest's folder, or lie below the URLs in `allow`. Patterns skip results in
    `outbox`. `caps` are those of the operator. `warn` gets a sentence about each file that a pattern leaves
    out. `fits` raises `NSTError` for a pair that needs more memory than there is.
    """
    try:
        results_among = outbox.results_among if outbox else None
        job = job_of_file(
            path, stores.sources(str(path.parent), allow, results_among), caps, Search(warn=warn)
        )
    except NSTError as error:
        return 0, problems_of(error)
    preparer, problems = Preparer("", caps.pixels), []
    for pair in job.pairs:
        try:
            prepared = preparer.prepare(pair, preparer.read(pair, job.sources))
            fits(prepared.pair)
            for note in prepared.notes:
                warn(f"{pair.place}: {note}" if pair.place else note)
        except NSTError as error:
            problems.append(Problem(pair.place, str(error), pair.id))
    return len(job.pairs), problems


def memory_of(settings: Settings) -> Callable[[PreparedPair], object]:
    """What raises `NSTError` for a pair that needs more memory than these settings leave.

    Raises `UsageError` if there is no such device or type.
    """
    try:
        device = pick_device(settings.device)
        dtype = pick_dtype(settings.dtype, device)
    except NSTError as error:
        raise UsageError(str(error)) from error
    memory = AvailableMemory(device, settings.memory)

    def fits(pair: PreparedPair) -> None:
        plan(Demand.of(pair), memory.bytes, device, dtype, memory.given)

    return fits
