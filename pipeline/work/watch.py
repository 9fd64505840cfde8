"""The two ways to work: on manifest files once, and on an inbox in rounds, until a signal comes."""

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from nst.errors import NSTError
from pipeline.engines.base import Engine
from pipeline.errors import UsageError, printable, problems_of
from pipeline.events.listener import Note, WatchBegan
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Schedule, Trigger
from pipeline.manifest.shard import Shard
from pipeline.outbox.outbox import Outbox
from pipeline.stores.opening import Stores
from pipeline.work.feed import FileFeed, InboxFeed
from pipeline.work.job import Job, job_of_file
from pipeline.work.opener import report_refused
from pipeline.work.owner import Owner
from pipeline.work.reserving import reserve
from pipeline.work.session import Session
from pipeline.work.sharding import become_shard
from pipeline.work.signals import supervise

_TAKEN = "another process publishes there"
_REMEDY = "start this one when that has ended, or give another folder with --name"
_QUIETER = 1.5  # the factor by which the wait between two scans grows while nothing happens


def run(
    paths: Sequence[Path],
    engine: Engine,
    outbox: Outbox,
    stores: Stores,
    allow: Sequence[str],
    session: Session,
    name: str | None = None,
    replace: bool = False,
    shard: Shard | None = None,
) -> int:
    """Work on manifest files, whose images are relative to each file's folder; returns the exit code.

    Results go to the folder `name` of the outbox, or else to that of the file's name. Raises `UsageError`
    if it has the results of a manifest from another place, unless `replace` is true. With `shard`, only the
    pairs of this shard are worked on; without any, there is nothing to do.
    """
    jobs, refused = list[Job](), 0
    with ExitStack() as stack:
        for path in paths:
            try:
                job = _open(path, stores, allow, outbox, session, name)
                stack.callback(job.close)
                _check_origin(job, outbox, replace)
                if shard:
                    become_shard(job, shard, outbox, session, replace)
                    _check_origin(job, outbox, replace)  # another process may have noted it meanwhile
                jobs.append(job)
            except UsageError:
                raise  # before anything is computed: the user has to decide
            except NSTError as error:
                refused += 1
                report_refused(name or path.stem, problems_of(error), session.listener)
        if not shard:
            refused += _reserve(jobs, outbox, session, replace)
        if not jobs:
            return 1
        if not any(job.pairs for job in jobs):
            session.listener.hear(Note(f"shard {shard} has no pairs", details={"manifest": jobs[0].name}))
            return 0
        return _work_on(jobs, Owner(engine, outbox, session), session, refused)


def _open(
    path: Path, stores: Stores, allow: Sequence[str], outbox: Outbox, session: Session, name: str | None
) -> Job:
    """The job of a manifest file. Raises `NSTError`."""
    sources = stores.sources(str(path.parent), allow, outbox.results_among)
    with session.searching(path.stem) as search:
        job = job_of_file(path, sources, session.caps, search)
    job.name = name or job.name
    return job


def _reserve(jobs: list[Job], outbox: Outbox, session: Session, replace: bool) -> int:
    """Reserve the folders of jobs. Those that are refused are removed; their number."""
    before, taken = len(jobs), reserve(jobs, outbox.store, session, _TAKEN, _REMEDY)
    for job in list(jobs):
        try:
            if job in taken:
                raise taken[job]
            _check_origin(job, outbox, replace)  # another process may have noted it meanwhile
        except UsageError:
            raise
        except NSTError as error:
            report_refused(job.name, problems_of(error), session.listener)
            jobs.remove(job)
    return before - len(jobs)


def _check_origin(job: Job, outbox: Outbox, replace: bool) -> None:
    """Raises `UsageError` if a folder has the results of a manifest from another place."""
    earlier = None if replace else outbox.origin(job.name)
    # A folder is reserved, so that an origin without results is that of results which were deleted since.
    # In a bucket, it may be that of a run whose first pair is not done yet.
    store = outbox.store
    if earlier and earlier != job.origin and (store.atomic or any(store.entries(job.name))):
        raise UsageError(
            printable(
                f"{outbox.store.url}/{job.name}: has the results of another manifest, {earlier}; choose "
                "another folder with --name NAME, or give --replace if that one was moved or may be replaced"
            )
        )


def _work_on(jobs: Sequence[Job], owner: Owner, session: Session, refused: int) -> int:
    """Work on the jobs of manifest files; returns the exit code."""

    def work() -> None:
        try:
            owner.start()
            owner.work(FileFeed(jobs, session.listener))
        finally:
            owner.close()

    code = supervise(session, work, [owner.mark_stopping], [owner.hand_back])
    return code or int(owner.problems + refused > 0)


class Watch:
    """Works on what is in an inbox, and on what comes into it."""

    def __init__(
        self,
        inbox: Inbox,
        engine: Engine,
        outbox: Outbox,
        stores: Stores,
        allow: Sequence[str],
        trigger: Trigger,
        session: Session,
    ) -> None:
        """Images come from the inbox, from what surrounds it, and from the URLs in `allow`."""
        self._inbox, self._outbox, self._trigger, self._session = inbox, outbox, trigger, session
        sources = stores.sources(inbox.store.url, allow, outbox.results_among)
        self._owner = Owner(engine, outbox, session)
        self._feed = InboxFeed(inbox, sources, outbox, trigger, session)

    def run(self, once: bool, schedule: Schedule | None, idle: float | None = None) -> int:
        """Work until a signal comes; returns the exit code.

        With `once`, one round: until nothing is left. With `idle`, until there was no work for so many
        seconds. Before either end, what the trigger has of manifests that have ended is acknowledged.
        """
        leave = [self._feed.hand_back, self._owner.hand_back]
        mark = [self._feed.mark_stopping, self._owner.mark_stopping]
        close = self._trigger.close
        code = supervise(self._session, lambda: self._work(once, schedule, idle), mark, leave, close)
        failed = self._owner.problems + self._feed.problems + self._feed.faults.count
        return code or int(failed > 0)

    def _work(self, once: bool, schedule: Schedule | None, idle: float | None) -> None:
        try:
            self._owner.start()
            self._session.listener.hear(WatchBegan(self._inbox.store.url, self._outbox.store.url))
            self._rounds(once, schedule, idle)
        finally:
            self._owner.close()
            self._feed.hand_back()
            self._trigger.close()

    def _rounds(self, once: bool, schedule: Schedule | None, idle: float | None) -> None:
        session, interval = self._session, self._session.timing.scan
        due, acknowledged = math.inf, False  # when there was no work for `idle` seconds
        while not session.stop.is_set():
            if schedule:
                seconds = round(schedule.seconds_left())
                session.listener.hear(Note("waiting for the schedule", details={"seconds": seconds}))
                schedule.wait(session.stop)
            self._trigger.idle(False)
            busy = self._round()
            self._show_ends()
            # The time is measured from the end of the work.
            if idle is not None and (busy or due == math.inf):
                due, acknowledged = time.monotonic() + idle, False
            if once:
                self._acknowledge()
                return
            if time.monotonic() < due:
                interval = self._next_interval(interval, busy)
                self._trigger.idle(True)
                if not schedule:
                    self._wait(min(interval, due - time.monotonic()))
            elif not acknowledged:
                # Another round follows, because a message may have come with a manifest.
                self._acknowledge()
                acknowledged = True
            else:
                return

    def _next_interval(self, interval: float, busy: bool) -> float:
        """Requests cost money: the longer nothing happens, the more seldom the inbox is scanned."""
        longest = self._trigger.longest_interval or self._inbox.store.idle_interval
        return self._session.timing.scan if busy else min(_QUIETER * interval, longest)

    def _acknowledge(self) -> None:
        """Collect all that waits in the trigger, and let it see which manifests have ended.

        It ends once a new manifest is ready: while uploads go on, collecting all of them would have no end.
        """
        while not self._session.stop.is_set() and self._trigger.collect():
            self._show_ends()
            if self._feed.has_ready:
                return

    def _round(self) -> bool:
        """Work until nothing is ready, no file is being written, and no store is unavailable.

        Returns whether anything was claimed.
        """
        timing, claimed_any = self._session.timing, False
        while not self._session.stop.is_set():
            self._feed.begin()
            self._owner.work(self._feed)
            claimed_any |= self._feed.claimed_any
            if not self._feed.unsettled:
                break
            soon = self._feed.settling and not self._feed.faults.unavailable
            if soon:
                # Not shortened by events: a file that grows has one for each write.
                self._session.stop.wait(timing.scan_settling)
            else:
                self._wait(timing.scan)
        return claimed_any

    def _wait(self, seconds: float) -> None:
        """Wait for an event of the inbox. A scan clears the event, so that a stop must be checked before."""
        if not self._session.stop.is_set():
            self._session.wake.wait(seconds)

    def _show_ends(self) -> None:
        """Scan twice more, if a trigger waits to see that the manifests of this round have ended."""
        for _ in range(2):
            if not self._session.stop.is_set() and self._trigger.pending:
                self._feed.scan()
