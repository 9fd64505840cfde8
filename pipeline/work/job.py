"""One manifest while a runner works on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ManifestError, Problem
from pipeline.inbox.inbox import ClaimedManifest
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair
from pipeline.manifest.reading import MAX_BYTES, parse
from pipeline.outbox.outbox import Outbox, Record
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.sources import Sources

_TRIES = 3  # runners that may die with a manifest, leaving nothing new of it done, before it is set aside


@dataclass(eq=False)
class Job:
    """The pairs of a manifest, where their images come from, and what of them is still open."""

    name: str
    pairs: Sequence[Pair]
    sources: Sources
    claimed: ClaimedManifest | None = None
    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: bool = False  # to another runner, which works on it now

    @property
    def finished(self) -> bool:
        """Whether each pair is done or has its problem told."""
        return len(self.records) + len(self.problems) == len(self.pairs)

    def confirm(self) -> None:
        """Make sure that it is still ours. Raises `ClaimLostError`."""
        if self.claimed:
            self.claimed.confirm()


def job_of_file(path: Path, allowed: Sequence[Store], outbox: Outbox | None) -> Job:
    """The job of a manifest file, whose images are relative to its folder. Raises `NSTError`."""
    folder = FolderStore(path.parent)
    sources = Sources(folder, allowed, outbox.results_among if outbox else None)
    document = parse(folder.read(path.name, MAX_BYTES))
    return Job(path.stem, expand(document, sources.glob), sources)


def job_of_claimed(claimed: ClaimedManifest, sources: Sources, outbox: Outbox) -> Job:
    """The job of a manifest from an inbox. Raises `NSTError`, also where it has killed too many runners."""
    if claimed.crashes > _TRIES:
        # Even reading it may be what they died of.
        raise ManifestError([Problem("", f"{claimed.crashes} runners in a row have died with it")])
    pairs = expand(parse(claimed.read()), sources.glob)
    if claimed.crashes:
        outbox.tidy(claimed.name)
    if claimed.crashes == _TRIES:
        undone = (pair for pair in pairs if outbox.record(claimed.name, pair.id) is None)
        if first := next(undone, None):
            message = (
                f"{_TRIES} runners in a row have died with this manifest, of this pair or of one soon after "
                "it: it is the first that is not done; look at its images and at the memory they take"
            )
            raise ManifestError([Problem(first.place, message, first.id)])
    return Job(claimed.name, pairs, sources, claimed)
