"""Everything about a manifest that can be found wrong without working on it."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from nst import images
from nst.errors import NSTError
from pipeline.errors import Problem, problems_of
from pipeline.job import job_of_file
from pipeline.stores.folder import FolderStore


def check(path: Path, allowed: Sequence[FolderStore]) -> list[Problem]:
    """The problems of a manifest file and of the images it names; none if it can be worked on."""
    try:
        job = job_of_file(path, allowed)
    except NSTError as error:
        return problems_of(error)

    @cache
    def fault(reference: str) -> str | None:
        try:
            images.decode(job.sources.read(reference))
        except NSTError as error:
            return str(error)
        return None

    return [
        Problem(
            pair.place,
            f"{reference}: {message}".removeprefix(f"{reference}: {reference}: "),
            pair.id,
        )
        for pair in job.pairs
        for reference in (pair.content, *(style.image for style in pair.styles))
        if (message := fault(reference))
    ]
