"""One manifest while a runner works on it."""

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ManifestError, Problem
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair
from pipeline.manifest.reading import MAX_BYTES, parse
from pipeline.outbox.outbox import Outbox, Record
from pipeline.settings import Caps
from pipeline.stores.sources import Sources

TRIES = 3  # runners or engines that may die with a pair before it fails


@dataclass(eq=False)
class Job:
    """The pairs of a manifest, where their images come from, and what has become of them so far."""

    name: str
    pairs: Sequence[Pair]
    sources: Sources
    priority: int = 0
    claimed: ClaimedManifest | None = None
    records: list[Record] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)  # of engines, by pair
    handed_out: int = 0  # pairs
    ended: bool = False  # nothing more is done with it here
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while it is changed or ended
    put_off_until: float = 0.0  # on the monotonic clock: it could not be ended, so a scan skips it until then

    @property
    def settled(self) -> int:
        """How many pairs are done or have failed."""
        return len(self.records) + len(self.problems)

    @property
    def finished(self) -> bool:
        """Whether all pairs are done or have failed."""
        return self.settled == len(self.pairs)

    @property
    def exhausted(self) -> bool:
        """Whether all pairs were handed out."""
        return self.handed_out == len(self.pairs)

    @property
    def outstanding(self) -> int:
        """How many pairs were handed out and have not come back."""
        return self.handed_out - self.settled

    @property
    def busy(self) -> bool:
        """Whether a scan must skip the manifest of this name."""
        return not self.ended or time.monotonic() < self.put_off_until

    def next_pair(self) -> Pair:
        """Hand out the next pair."""
        self.handed_out += 1
        return self.pairs[self.handed_out - 1]

    def confirm(self) -> None:
        """Check that the claim still holds. Raises `ClaimLostError`."""
        if self.claimed:
            self.claimed.confirm()


def job_of_file(path: Path, sources: Sources, caps: Caps = Caps()) -> Job:
    """The job of a manifest file, whose images are relative to its folder. Raises `NSTError`."""
    document = parse(sources.base.read(path.name, MAX_BYTES))
    return Job(path.stem, expand(document, sources.search(), caps), sources, document.priority)


def job_of_claimed(claimed: ClaimedManifest, sources: Sources, outbox: Outbox, caps: Caps = Caps()) -> Job:
    """The job of a manifest from an inbox. Raises `NSTError`, also if too many runners have died with it."""
    if claimed.history.crashes > TRIES:
        # Reading it may be what kills the runners.
        raise ManifestError(
            [Problem("", f"{claimed.history.crashes} runners in a row have died with it; check its size")]
        )
    document = parse(claimed.read())
    pairs = expand(document, sources.search(), caps)
    if claimed.history.crashes:
        outbox.tidy(claimed.name)
    if claimed.history.crashes == TRIES:
        undone = (pair for pair in pairs if outbox.record(claimed.name, pair.id) is None)
        if first := next(undone, None):
            message = (
                f"{TRIES} runners in a row have died with this manifest, because of this pair or of one soon "
                "after it: it is the first that is not done; check its images and the memory that they take"
            )
            raise ManifestError([Problem(first.place, message, first.id)])
    return Job(claimed.name, pairs, sources, document.priority, claimed)
