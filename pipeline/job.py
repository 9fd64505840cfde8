"""One manifest while a runner works on it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline import manifest
from pipeline.errors import Problem
from pipeline.inbox import ClaimedManifest
from pipeline.manifest import Pair
from pipeline.outbox import Record
from pipeline.sources import Sources
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore


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


def job_of_file(path: Path, allowed: Sequence[Store]) -> Job:
    """The job of a manifest file, whose images are relative to its folder. Raises `NSTError`."""
    folder = FolderStore(path.parent)
    sources = Sources(folder, allowed)
    document = manifest.parse(folder.read(path.name, manifest.MAX_BYTES))
    return Job(path.stem, manifest.expand(document, sources.glob), sources)
