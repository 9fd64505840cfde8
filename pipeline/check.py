"""Everything about a manifest that can be found wrong without working on it."""

from collections.abc import Sequence
from pathlib import Path

from nst.errors import NSTError
from pipeline.engines.prepare import Fetcher
from pipeline.errors import Problem, problems_of
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import Store
from pipeline.work.job import job_of_file


def check(path: Path, allowed: Sequence[Store], outbox: Outbox | None) -> tuple[int, list[Problem]]:
    """How many pairs a manifest file stands for, and its problems and those of the images it names."""
    try:
        job = job_of_file(path, allowed, outbox)
    except NSTError as error:
        return 0, problems_of(error)
    fetcher, problems = Fetcher(""), []
    for pair in job.pairs:
        try:
            fetcher.prepare(pair, fetcher.read(pair, job.sources))
        except NSTError as error:
            problems.append(Problem(pair.place, str(error), pair.id))
    return len(job.pairs), problems
