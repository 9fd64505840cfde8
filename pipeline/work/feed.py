"""From an inbox, or from manifest files, to pairs: what is claimed when, and which pair comes next."""

import math
import random
import time
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Protocol

from pipeline.errors import Problem, StoreError, UnavailableError, problems_of
from pipeline.events.listener import Failed, Listener, ManifestEnded, ManifestLeft, ManifestStarted
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.inbox.inbox import Inbox, Ready
from pipeline.inbox.triggers import Trigger
from pipeline.manifest.models import Pair
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import History, Reservation
from pipeline.stores.sources import Sources
from pipeline.work.caution import Caution
from pipeline.work.faults import Faults
from pipeline.work.job import Job, job_of_claimed
from pipeline.work.session import Session
from pipeline.work.turns import Turns

_MOST_REFUSED = 3  # claims in a row that a store may refuse before it is left alone for a while
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


class FileFeed:
    """The pairs of manifest files, one manifest after the other, those of a higher priority first."""

    def __init__(self, jobs: Sequence[Job], listener: Listener) -> None:
        self._jobs, self._listener = sorted(jobs, key=lambda job: -job.priority), listener

    def next(self, turn: int, claim: bool) -> Given | None:
        for job in self._jobs:
            if not job.exhausted:
                return _given(job, self._listener)
        return None


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
        self._inbox, self._sources, self._outbox = inbox, sources, outbox
        self._trigger, self._session, self._listener = trigger, session, session.listener
        self.faults = Faults(session.listener)
        self.problems = 0  # of manifests that were refused
        self.claimed_any = False  # since `begin`
        self._jobs: dict[str, Job] = {}  # all that are busy, by name
        self._turns = Turns()
        self._opening: ClaimedManifest | None = None  # claimed, but not read yet
        self._suspect: Job | None = None  # as long as it needs caution
        self._ready: deque[Ready] = deque()  # that the last scan found, best first
        self._taken = False  # something was claimed since the last scan
        self._contested = False  # another runner was quicker since the last scan
        self._refused = 0
        self._skipped: dict[str, float] = {}  # names that are not tried again before a time
        self._scanned, self._scan_took = -math.inf, 0.0

    def begin(self) -> None:
        """Begin a round: scan the inbox when the next pair is asked for."""
        self.faults.clear()
        self._skipped.clear()
        self._scanned, self.claimed_any, self._refused = -math.inf, False, 0

    @property
    def unsettled(self) -> bool:
        """Whether a manifest was skipped that will be ready soon, or a store could not be reached."""
        return self._inbox.settling or self.faults.unavailable

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
            if (job := self._open(best.name)) is None:
                continue
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

    def mark_stopping(self) -> None:
        """Mark the claims of which no pair was handed out. The owner marks the others."""
        claims = [self._opening, *(job.claimed for job in self._not_handed_out())]
        for claimed in filter(None, claims):
            self.faults.attempt(claimed.name, claimed.stopping)

    def hand_back(self) -> None:
        """Release the manifests of which no pair was handed out. The owner releases the others."""
        for job in self._not_handed_out():
            self._hand_back(job)
        if self._opening:
            self.faults.attempt(self._opening.name, self._opening.release)

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
        self._ready = deque(self.faults.attempt("the inbox", self._inbox.scan) or [])
        self._trigger.seen(self._inbox.unended)
        self._taken, self._contested, self._refused = False, False, 0
        self._scanned, self._scan_took = began, time.monotonic() - began

    def _scan_if_due(self) -> None:
        since, rest = time.monotonic() - self._scanned, self._session.timing.scan_rest * self._scan_took
        woken = self._session.wake.is_set() and since >= max(self._session.timing.scan, rest)
        exhausted = self._taken and self._best_ready() is None
        if woken or exhausted or since >= max(self._inbox.store.idle_interval, rest):
            self.scan()

    def _best_ready(self) -> Ready | None:
        """The manifest to claim next; none while the store refuses claims."""
        while self._ready and self._is_busy(self._ready[0]):
            self._ready.popleft()
        if not self._ready or self._refused > _MOST_REFUSED:
            return None
        best = self._ready[0]
        if not self._contested:
            return best
        # Runners that try the same order meet at every manifest.
        first = islice(self._ready, _SPREAD)
        return random.choice([r for r in first if r.priority == best.priority and not self._is_busy(r)])

    def _is_busy(self, ready: Ready) -> bool:
        skipped = time.monotonic() < self._skipped.get(ready.name, -math.inf)
        return skipped or ready.name in self._jobs

    def _skip(self, name: str, seconds: float) -> None:
        """Do not try a manifest again for a while."""
        now = time.monotonic()
        self._skipped = {other: until for other, until in self._skipped.items() if until > now}
        self._skipped[name] = now + seconds

    def _open(self, name: str) -> Job | None:
        """Claim a manifest and read it; none if that fails, which is reported."""
        # The reservation first, so that runners at two inboxes do not publish under the same name.
        reservation = self._reserve(name)
        if reservation is None:
            return None
        self._opening = claimed = self._claim(name)
        job = self._read(claimed) if claimed else None
        if job is None:
            self._opening = None
            reservation.close()
            return None
        job.reservation = reservation
        self._jobs[name], self._opening = job, None
        return job

    def _reserve(self, name: str) -> Reservation | None:
        """The folder of results of a manifest; none if another process has it, or the outbox refuses."""
        self._session.pulse.beat()
        try:
            reservation = self._outbox.store.reserve(name)
        except StoreError as error:
            self._refused += 1
            self.faults.report("the outbox", error)
            return None
        self.faults.over("the outbox")
        if reservation is None:
            self._leave_to_others(name)
        return reservation

    def _claim(self, name: str) -> ClaimedManifest | None:
        """The claimed manifest; none if another runner has it, or the store refuses."""
        self._session.pulse.beat()
        try:
            claimed = self._inbox.claim(name)
        except UnavailableError as error:
            self._refused += 1
            self.faults.report("claims", error)
            return None
        except StoreError as error:
            self.faults.report(name, error)
            return None
        self._refused = 0
        if claimed is None:
            self._leave_to_others(name)
        for what in ("claims", name):
            self.faults.over(what)
        return claimed

    def _leave_to_others(self, name: str) -> None:
        self._contested = True
        self._skip(name, self._session.timing.held)

    def _read(self, claimed: ClaimedManifest) -> Job | None:
        """The job of a claimed manifest; none if it can't be read now, or is refused."""
        self._taken = self.claimed_any = True
        try:
            return job_of_claimed(claimed, self._sources, self._outbox, self._session.caps)
        except UnavailableError as error:
            self.faults.report(claimed.name, error)
            self._give_up(claimed)
        except Exception as error:
            # One manifest must not stop the others, whatever it raises.
            refuse = partial(self._refuse, claimed, problems_of(error))
            if not self.faults.attempt(claimed.name, refuse):
                self._give_up(claimed)
        return None

    def _give_up(self, claimed: ClaimedManifest) -> None:
        """Release a manifest that can be neither read nor refused now."""
        self.faults.attempt(claimed.name, claimed.release)
        self._skip(claimed.name, self._session.timing.retry_last)

    def _refuse(self, claimed: ClaimedManifest, problems: Sequence[Problem]) -> bool:
        claimed.fail(problems)
        self.problems += len(problems)
        report_refused(claimed.name, problems, self._listener)
        return True


def _given(job: Job, listener: Listener, newcomer: bool = False) -> Given:
    """The next pair of a job. With the first one, work on its manifest begins."""
    if not job.handed_out:
        listener.hear(ManifestStarted(job.name, len(job.pairs)))
    return Given(job, job.next_pair(), newcomer)


def report_refused(name: str, problems: Sequence[Problem], listener: Listener) -> None:
    """Report to a listener what is wrong with a manifest on which no work begins."""
    for problem in problems:
        listener.hear(Failed(name, problem))
    listener.hear(ManifestEnded(name, len(problems)))
