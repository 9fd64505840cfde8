"""One manifest while a runner works on it."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ManifestError, Problem
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.manifest.document import MAX_BYTES
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair
from pipeline.manifest.reading import parse
from pipeline.outbox.results import Results
from pipeline.outbox.shared_end import SharedEnd
from pipeline.settings import Caps
from pipeline.stores.base import Reservation
from pipeline.stores.listed import ListedStates
from pipeline.stores.search import Search
from pipeline.stores.sources import Sources
from pipeline.work.caution import Caution

TRIES = 3  # runners or engines that may die with a pair before it fails


@dataclass(eq=False)
class Job:
    """The pairs of a manifest, where their images come from, and what has become of them so far."""

    name: str
    pairs: Sequence[Pair]  # in the order in which they are handed out
    sources: Sources
    priority: int = 0
    claimed: ClaimedManifest | None = None
    results: Results | None = None  # once the first pair was looked up
    states: ListedStates | None = None  # of images, if many pairs are done already
    done: int = 0  # pairs
    problems: list[Problem] = field(default_factory=list)
    deaths: Counter[str] = field(default_factory=Counter)  # of engines, by pair
    handed_out: int = 0  # pairs
    caution: Caution | None = None  # while its pairs are computed one at a time
    ended: bool = False  # nothing more is done with it here
    lock: threading.RLock = field(default_factory=threading.RLock)  # held while it is changed or ended
    reservation: Reservation | None = None  # of its folder in the outbox, until `close`
    origin: str = ""  # the place of the manifest, which is written to the outbox
    shared: SharedEnd | None = None  # if these pairs are a shard, and other processes work on the others
    computed: int = 0  # pairs, by this process
    put_off_until: float = 0.0  # on the monotonic clock: a scan skips it until then; see `Timing.put_off`

    def __post_init__(self) -> None:
        # Of the whole manifest, in its order, also where `pairs` become a shard of it.
        self.ids = [pair.id for pair in self.pairs]

    @property
    def settled(self) -> int:
        """How many pairs are done or have failed."""
        return self.done + len(self.problems)

    @property
    def finished(self) -> bool:
        """Whether all pairs are done or have failed."""
        return self.settled == len(self.pairs)

    @property
    def exhausted(self) -> bool:
        """Whether all pairs were handed out."""
        return self.handed_out == len(self.pairs)

    @property
    def has_pairs(self) -> bool:
        """Whether pairs can still be handed out."""
        return not self.ended and not self.exhausted

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

    def close(self) -> None:
        """Nothing is published any more: let others publish under this name."""
        self.ended = True
        if self.reservation:
            self.reservation.close()

    def put_first(self, pair: str) -> None:
        """Hand out this pair first, if there is one of this id."""
        self.pairs = sorted(self.pairs, key=lambda other: other.id != pair)

    def put_last(self, done: Callable[[Pair], bool]) -> None:
        """Of the pairs that are not handed out yet, hand out last those for which `done` is true."""
        begun, left = self.pairs[: self.handed_out], self.pairs[self.handed_out :]
        self.pairs = [*begun, *sorted(left, key=done)]

    def confirm(self) -> None:
        """Check that the claim and the reservation still hold. Raises `ClaimLostError`."""
        if self.reservation:
            self.reservation.confirm()
        if self.claimed:
            self.claimed.confirm()


def job_of_file(path: Path, sources: Sources, caps: Caps = Caps(), search: Search | None = None) -> Job:
    """The job of a manifest file, whose images are relative to its folder. Raises `NSTError`.

    `search` is for its patterns; it may raise other exceptions, to end the search.
    """
    document = parse(sources.read(path.name, MAX_BYTES))
    pairs, origin = expand(document, sources.search(search), caps), sources.base.absolute(path.name)
    return Job(path.stem, pairs, sources, document.priority, origin=origin)


def job_of_claimed(
    claimed: ClaimedManifest,
    sources: Sources,
    caps: Caps,
    search: Search,
) -> Job:
    """The job of a manifest from an inbox. Raises `NSTError`, also if too many runners have died with it.

    `search` is for its patterns; it may raise other exceptions, to end the search.
    """
    crashes = claimed.history.crashes
    if crashes >= TRIES:
        # Not even read, because reading it may be what kills the runners.
        message = f"{crashes} runners in a row have died with it before any pair was done; check its size"
        raise ManifestError([Problem("", message)])
    document = parse(claimed.read())
    pairs = expand(document, sources.search(search), caps)
    origin = sources.base.absolute(f"{claimed.name}.json")
    return Job(claimed.name, pairs, sources, document.priority, claimed, origin=origin)
