"""From an inbox, or from manifest files, to pairs: what is claimed when, and which pair comes next."""

import math
import random
import time
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from pipeline.events.listener import Listener, ManifestLeft, ManifestStarted, Scanned
from pipeline.inbox.inbox import Inbox, Ready
from pipeline.inbox.triggers import Trigger
from pipeline.manifest.models import Pair
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import History
from pipeline.stores.sources import Sources
from pipeline.work.caution import Caution
from pipeline.work.faults import Faults
from pipeline.work.job import Job
from pipeline.work.opener import Opener
from pipeline.work.session import Session
from pipeline.work.turns import Turns

_SPREAD = 8  # of the best manifests, one at random is tried where other runners claim as well


@dataclass(frozen=True)
class Given:
    """A pair that is handed out; `newcomer` if its manifest has its first turn."""

    job: Job
    pair: Pair
    newcomer: bool = False


class Feed(Protocol):
    """Gives pairs, one after the other."""

    def next(self, turn: int, claim: bool) -> Given | None:
        """The next pair; none if there is none now. A manifest's turn lasts for `turn` pairs.

        Manifests are claimed only with `claim`: what would have to wait is left to other runners.
        """

    def has_more(self) -> bool:
        """Whether there is a pair now, or a manifest that could be claimed. Claims nothing."""


class FileFeed:
    """The pairs of manifest files, one manifest after the other, those of a higher priority first."""

    def __init__(self, jobs: Sequence[Job], listener: Listener) -> None:
        self._jobs, self._listener = sorted(jobs, key=lambda job: -job.priority), listener

    def next(self, turn: int, claim: bool) -> Given | None:
        for job in self._jobs:
            if job.has_pairs:
                return _given(job, self._listener)
        return None

    def has_more(self) -> bool:
        return any(job.has_pairs for job in self._jobs)


class InboxFeed:
    """The pairs of the manifests in an inbox, which take turns.

    A manifest is claimed only when a pair of it is to be handed out. One that a runner has died with is a
    suspect: it is worked on alone and with `Caution`, so that another death has one possible cause and harms
    no other manifest.
    """

    def __init__(
        self,
        inbox: Inbox,
        sources: Sources,
        outbox: Outbox,
        trigger: Trigger,
        session: Session,
    ) -> None:
        self._inbox, self._trigger, self._session = inbox, trigger, session
        self._listener = session.listener
        self.faults = Faults(session.listener)
        self._opener = Opener(inbox, sources, outbox, session, self.faults)
        self._jobs: dict[str, Job] = {}  # all that are busy, by name
        self._turns = Turns()
        self._suspect: Job | None = None  # as long as it needs caution
        self._ready: deque[Ready] = deque()  # that the last scan found, best first
        self._scanned, self._scan_took = -math.inf, 0.0

    def begin(self) -> None:
        """Begin a round: scan the inbox when the next pair is asked for."""
        self.faults.clear()
        self._opener.begin()
        self._scanned = -math.inf

    @property
    def problems(self) -> int:
        """How many problems the manifests had that were refused."""
        return self._opener.problems

    @property
    def claimed_any(self) -> bool:
        """Whether a manifest was claimed since `begin`."""
        return self._opener.claimed_any

    @property
    def unsettled(self) -> bool:
        """Whether a manifest was skipped that will be ready soon, or a store could not be reached."""
        return self.settling or self.faults.unavailable or self._opener.waits

    @property
    def settling(self) -> bool:
        """Whether a manifest was skipped because it may not be complete yet."""
        return self._inbox.settling

    @property
    def has_ready(self) -> bool:
        """Whether the last scan has found a manifest that could be claimed now."""
        return any(not self._is_busy(ready) for ready in self._ready)

    def next(self, turn: int, claim: bool) -> Given | None:
        self._jobs = {name: job for name, job in self._jobs.items() if job.busy}
        self._clear_suspect()
        if self._suspect:
            return self._next_of(self._suspect)
        self._scan_if_due()
        while claim and not self._session.stop.is_set() and (best := self._best_ready()):
            if not self._turns.admits(best.priority):
                break
            self._ready.remove(best)
            if best.unread:
                insort(self._ready, self._inbox.with_priority(best), key=lambda ready: ready.rank)
                continue
            if (job := self._opener.open(best)) is None:
                continue
            self._jobs[job.name] = job
            self._opener.opened()
            if job.claimed and job.claimed.history != History():
                job.caution = Caution(job.claimed)
                # Otherwise other pairs would be noted before it, and its deaths forgotten.
                job.put_first(job.claimed.history.pair)
                self._suspect = job
                return self._next_of(job)
            self._turns.open(job, turn)
            break
        following = self._turns.next(turn)
        return _given(following, self._listener, self._turns.first) if following else None

    def has_more(self) -> bool:
        self._scan_if_due()
        return self._best_ready() is not None or any(job.has_pairs for job in self._jobs.values())

    def mark_stopping(self) -> None:
        """Mark the claims of which no pair was handed out. The owner marks the others."""
        claims = [self._opener.opening, *(job.claimed for job in self._not_handed_out())]
        for claimed in filter(None, claims):
            self.faults.attempt(claimed.name, claimed.stopping)

    def hand_back(self) -> None:
        """Release the manifests of which no pair was handed out. The owner releases the others."""
        for job in self._not_handed_out():
            self._hand_back(job)
        if opening := self._opener.opening:
            self.faults.attempt(opening.name, opening.release)

    def _not_handed_out(self) -> list[Job]:
        return [job for job in list(self._jobs.values()) if not job.handed_out and not job.ended]

    def _clear_suspect(self) -> None:
        """A suspect that needs no caution any more is like any other manifest."""
        suspect = self._suspect
        if suspect and suspect.ended:
            self._suspect, self._scanned = None, -math.inf
        elif suspect and suspect.caution is None:
            self._turns.open(suspect, 0)
            self._suspect = None

    def _next_of(self, suspect: Job) -> Given | None:
        """The suspect's next pair, once no pair of another manifest is with the engine."""
        others = [job for job in self._jobs.values() if job is not suspect and not job.ended]
        if any(job.outstanding or job.exhausted for job in others):
            return None
        for job in self._turns.close_all():
            self._hand_back(job)
        return None if suspect.exhausted else _given(suspect, self._listener)

    def _hand_back(self, job: Job) -> None:
        job.ended = True
        if job.claimed:
            self.faults.attempt(job.name, job.claimed.release)
        job.close()
        self._listener.hear(ManifestLeft(job.name, "manifest handed back"))

    def scan(self) -> None:
        """Scan the inbox now."""
        began = time.monotonic()
        self._session.wake.clear()
        self._trigger.refresh()
        with self._session.reporting_slowness("the scan of the inbox takes long; it goes on"):
            found = self.faults.attempt("the inbox", self._inbox.scan)
        self._ready = deque(found or [])
        waiting, processing = self._inbox.waiting, self._inbox.processing
        if found is not None:  # a scan that failed does not show which manifests have ended
            self._listener.hear(Scanned(len(waiting), len(processing)))
            self._trigger.seen(waiting | processing)
        self._opener.scanned({ready.name for ready in self._ready if not ready.in_processing})
        self._scanned, self._scan_took = began, time.monotonic() - began

    def _scan_if_due(self) -> None:
        since, rest = time.monotonic() - self._scanned, self._session.timing.scan_rest * self._scan_took
        woken = self._session.wake.is_set() and since >= max(self._session.timing.scan, rest)
        exhausted = self._opener.taken and self._best_ready() is None
        if woken or exhausted or since >= max(self._inbox.store.idle_interval, rest):
            self.scan()

    def _best_ready(self) -> Ready | None:
        """The manifest to claim next; none while the store refuses claims."""
        while self._ready and self._is_busy(self._ready[0]):
            self._ready.popleft()
        if not self._ready or self._opener.refused:
            return None
        best = self._ready[0]
        if not self._opener.contested:
            return best
        # Runners that try the same order meet at every manifest.
        first = islice(self._ready, _SPREAD)
        return random.choice([r for r in first if r.priority == best.priority and not self._is_busy(r)])

    def _is_busy(self, ready: Ready) -> bool:
        return self._opener.skips(ready.name) or ready.name in self._jobs


def _given(job: Job, listener: Listener, newcomer: bool = False) -> Given:
    """The next pair of a job. With the first one, work on its manifest begins."""
    if not job.handed_out:
        listener.hear(ManifestStarted(job.name, len(job.pairs)))
    return Given(job, job.next_pair(), newcomer)
