"""How a runner gets a manifest of an inbox: it reserves the name in the outbox, claims it and reads it."""

import time
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from pipeline.errors import Problem, StoppedError, StoreError, UnavailableError, problems_of
from pipeline.events.listener import Failed, Listener, ManifestEnded, Note
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.inbox.inbox import Inbox, Ready
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import Reservation
from pipeline.stores.sources import Sources
from pipeline.work.faults import Faults
from pipeline.work.job import Job, job_of_claimed
from pipeline.work.session import Session

_MOST_REFUSED = 3  # claims in a row that a store may refuse before no more are tried in this scan


@dataclass(frozen=True)
class _GivenUp:
    """A manifest that could be neither read nor refused at its last try."""

    tries: int
    until: float  # the time before which it is not tried again, of `time.monotonic`
    passing: bool  # whether the fault may be over soon
    due: bool = False  # whether its wait was over when this round began


class Opener:
    """Opens manifests: claims and reads them. What goes wrong is reported, and the name is then skipped.

    `opening` is the manifest that is claimed and not read yet. `problems` counts those of the manifests that
    were refused, `claimed_any` says whether any was claimed since `begin`.
    """

    def __init__(
        self, inbox: Inbox, sources: Sources, outbox: Outbox, session: Session, faults: Faults
    ) -> None:
        self._inbox, self._sources, self._outbox = inbox, sources, outbox
        self._session, self._faults = session, faults
        self.opening: ClaimedManifest | None = None
        self.problems = 0
        self.claimed_any = False
        self.taken = False  # something was claimed since the last scan
        self.contested = False  # another runner was quicker since the last scan
        self._refused = 0
        self._held: dict[str, float] = {}  # until when names are left to others
        self._given_up: dict[str, _GivenUp] = {}
        self._in_use: Counter[str] = Counter()  # tries of names that others publish under

    def begin(self) -> None:
        """Begin a round: every name may be tried, except those that were given up a short time ago."""
        self._held.clear()
        now = time.monotonic()
        self._given_up = {
            name: replace(given, due=given.until <= now) for name, given in self._given_up.items()
        }
        self.claimed_any, self._refused = False, 0

    def scanned(self, waiting: Set[str]) -> None:
        """The inbox was scanned, and the manifests of these names wait."""
        self.taken, self.contested, self._refused = False, False, 0
        self._in_use = Counter({name: tries for name, tries in self._in_use.items() if name in waiting})
        self._given_up = {
            name: given for name, given in self._given_up.items() if name in waiting or not given.due
        }

    def opened(self) -> None:
        """The caller has the job that was opened last, and takes care of its claim."""
        self.opening = None

    @property
    def refused(self) -> bool:
        """Whether a store has refused so many claims that no more are tried before the next scan."""
        return self._refused > _MOST_REFUSED

    @property
    def waits(self) -> bool:
        """Whether a manifest was given up because of a fault that may be over soon."""
        return any(given.passing and not given.due for given in self._given_up.values())

    def skips(self, name: str) -> bool:
        """Whether a manifest is not tried for now."""
        now = time.monotonic()
        given = self._given_up.get(name)
        return now < self._held.get(name, now) or (given is not None and now < given.until)

    def open(self, ready: Ready) -> Job | None:
        """Claim a manifest and read it; none if that fails. Call `opened` once the job is registered."""
        # The reservation first, so that runners at two inboxes do not publish under the same name.
        reservation = self._reserve(ready)
        if reservation is None:
            return None
        self.opening = claimed = self._claim(ready.name)
        job = self._read(claimed) if claimed else None
        if job is None:
            self.opening = None
            reservation.close()
            return None
        job.reservation = reservation
        return job

    def _reserve(self, ready: Ready) -> Reservation | None:
        """The folder of results of a manifest; none if another process has it, or the outbox refuses."""
        self._session.pulse.beat()
        try:
            reservation = self._outbox.store.reserve(ready.name)
        except StoreError as error:
            self._refused += 1
            self._faults.report("the outbox", error)
            return None
        self._faults.over("the outbox")
        if reservation is None:
            self._report_in_use(ready)
            self._leave_to_others(ready.name)
        return reservation

    def _report_in_use(self, ready: Ready) -> None:
        """Report a manifest that still waits when its name is found in use for the second time.

        A runner at this inbox would have claimed it by then.
        """
        self._in_use[ready.name] += not ready.in_processing
        if self._in_use[ready.name] == 2:
            message = (
                f"{ready.name}: waits, because another process publishes under this name in "
                f"{self._outbox.store.url}; if that works on another inbox, give the manifest another name"
            )
            self._session.listener.hear(Note(message, "warning", {"manifest": ready.name}))

    def _claim(self, name: str) -> ClaimedManifest | None:
        """The claimed manifest; none if another runner has it, or the store refuses."""
        self._session.pulse.beat()
        try:
            claimed = self._inbox.claim(name)
        except UnavailableError as error:
            self._refused += 1
            self._faults.report("claims", error)
            return None
        except StoreError as error:
            self._faults.report(name, error)
            return None
        self._refused = 0
        if claimed is None:
            self._leave_to_others(name)
        for what in ("claims", name):
            self._faults.over(what)
        return claimed

    def _read(self, claimed: ClaimedManifest) -> Job | None:
        """The job of a claimed manifest; none if it can't be read now, or is refused."""
        self.taken = self.claimed_any = True
        try:
            with self._session.searching(claimed.name) as search:
                job = job_of_claimed(claimed, self._sources, self._session.caps, search)
            self._can_be_read(claimed)
            return job
        except StoppedError:
            self._faults.attempt(claimed.name, claimed.release)
        except UnavailableError as error:
            self._give_up(claimed, error)
        except Exception as error:
            # One manifest must not stop the others, whatever it raises.
            self._refuse(claimed, problems_of(error))
        return None

    def _refuse(self, claimed: ClaimedManifest, problems: Sequence[Problem]) -> None:
        try:
            claimed.fail(problems)
        except StoreError as error:
            self._give_up(claimed, error)
            return
        self._can_be_read(claimed)
        self.problems += len(problems)
        report_refused(claimed.name, problems, self._session.listener)

    def _can_be_read(self, claimed: ClaimedManifest) -> None:
        self._faults.over(_reading(claimed))
        self._given_up.pop(claimed.name, None)

    def _give_up(self, claimed: ClaimedManifest, error: StoreError) -> None:
        """Release a manifest that can be neither read nor refused now; each time for longer."""
        self._faults.report(_reading(claimed), error)
        self._faults.attempt(claimed.name, claimed.release)
        earlier = self._given_up.get(claimed.name)
        tries = earlier.tries + 1 if earlier else 1
        until = time.monotonic() + self._session.timing.retry_after(tries)
        self._given_up[claimed.name] = _GivenUp(tries, until, isinstance(error, UnavailableError))

    def _leave_to_others(self, name: str) -> None:
        self.contested = True
        now = time.monotonic()
        self._held = {other: until for other, until in self._held.items() if until > now}
        self._held[name] = now + self._session.timing.held


def _reading(claimed: ClaimedManifest) -> str:
    """The name for faults of reading a manifest. They are not over when a claim of it succeeds."""
    return f"reading {claimed.name}"


def report_refused(name: str, problems: Sequence[Problem], listener: Listener) -> None:
    """Report to a listener what is wrong with a manifest on which no work begins."""
    for problem in problems:
        # An id would make it the failure of a pair.
        listener.hear(Failed(name, replace(problem, id=None)))
    listener.hear(ManifestEnded(name, len(problems)))
