"""The engine that is this process: one thread works, the main thread watches for signals."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from nst.device import device_name, dtype_name
from nst.errors import NSTError
from pipeline.engines.stylizer import make_stylizer
from pipeline.errors import Problem, StoreError, UnavailableError, problems_of
from pipeline.events.listener import Listener
from pipeline.inbox.inbox import ClaimedManifest, Inbox
from pipeline.inbox.triggers import FolderEvents, Schedule, Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.runner import Runner
from pipeline.settings import Settings
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from pipeline.stores.sources import Sources
from pipeline.work.job import Job, job_of_claimed, job_of_file
from pipeline.work.signals import LAST, abandon, supervise

_INTERVAL = 2.0  # seconds between two scans while nothing happens
_LONGEST = 30.0  # the same at most, for a bucket
_BESIDE_QUEUE = 300.0  # the same where a queue tells of what comes, but for what it loses
_SETTLING = 0.25  # the same while a file is being written
_LISTED = 30.0  # seconds for which a scan is worked from; other runners take of it meanwhile
_MOST_REFUSED = 3  # claims in a row, after which a store is left alone for a while
_ASLEEP = 10.0  # seconds between two glances that only a process which was stopped will let pass
_STUCK = 1800.0  # seconds without any progress after which this process has as good as died

T = TypeVar("T")


class LocalEngine:
    """Works on manifests in this process."""

    def __init__(self, settings: Settings, stores: Stores, outbox: Outbox, listener: Listener) -> None:
        self._settings, self._stores, self._outbox, self._listener = settings, stores, outbox, listener
        self._allowed = [stores.open(url) for url in settings.allow]
        self._stop, self._wake = threading.Event(), threading.Event()
        self._runner: Runner | None = None
        self._trigger = Trigger()
        self._problems = 0
        self._told: dict[str, str] = {}
        self._took = self._unreachable = False
        self._refused = 0  # claims in a row that met a fault which may pass
        self._glanced = time.monotonic()
        self._suspect: Job | None = None  # a runner has died with it: it is for a round of its own

    def run(self, paths: Sequence[Path]) -> int:
        """Work on manifest files, whose images are relative to each; returns the exit code."""
        jobs = [job for path in paths if (job := self._job_of_file(path))]
        return self._supervise(lambda: self._start().run(jobs)) if jobs else 1

    def watch(self, store: Store, once: bool, schedule: Schedule | None) -> int:
        """Work on what is in an inbox, and comes into it, until a signal or until `once` is over."""
        inbox = Inbox(store)
        sources = Sources(store, [*self._stores.sources(store), *self._allowed], self._outbox.results_among)
        self._trigger = self._trigger_of(store)

        def work() -> None:
            try:
                self._watch(inbox, sources, once, schedule)
            finally:
                self._hand_back_suspect()
                self._trigger.close()

        return self._supervise(work)

    def _watch(self, inbox: Inbox, sources: Sources, once: bool, schedule: Schedule | None) -> None:
        runner, interval = self._start(), _INTERVAL
        self._listener.note("watching", inbox=inbox.store.url, outbox=self._outbox.store.url)
        while not self._stop.is_set():
            if schedule:
                self._sleep_until(schedule)
            self._took = False
            self._trigger.idle(False)
            self._drain(inbox, sources, runner)
            self._show_ends(inbox)
            if once:
                break
            # Requests cost money: a bucket where nothing happens is looked at ever less often.
            interval = _INTERVAL if self._took else min(1.5 * interval, self._longest(inbox.store))
            self._trigger.idle(True)
            if not schedule:
                self._wake.wait(interval)

    def _trigger_of(self, store: Store) -> Trigger:
        if self._settings.queue:
            # boto3 takes a while to import.
            from pipeline.inbox.sqs import QueueEvents

            return QueueEvents(self._settings.queue, store, self._wake, self._listener.note)
        if isinstance(store, FolderStore) and not self._settings.poll:
            return FolderEvents(store.root, self._wake)
        return Trigger()

    def _longest(self, store: Store) -> float:
        if isinstance(store, FolderStore):
            return _INTERVAL
        return _BESIDE_QUEUE if self._settings.queue and not self._trigger.pending else _LONGEST

    def _start(self) -> Runner:
        stylizer = make_stylizer(self._settings)
        device, dtype = device_name(stylizer.device), dtype_name(stylizer.dtype)
        self._listener.note("ready", device=device, dtype=dtype)
        self._runner = Runner(stylizer, self._outbox, self._listener, self._stop)
        return self._runner

    def _drain(self, inbox: Inbox, sources: Sources, runner: Runner) -> None:
        """Work until nothing is ready, no file is still being written, and nothing is out of reach."""
        unsettled = True
        while unsettled and not self._stop.is_set():
            self._trigger.refresh()
            self._wake.clear()
            self._unreachable, alone = False, self._suspect
            runner.run(self._jobs_of_inbox(inbox, sources, runner))
            if alone or self._suspect:
                continue
            unsettled = inbox.settling or self._unreachable
            if unsettled:
                self._wake.wait(_INTERVAL if self._unreachable else _SETTLING)

    def _show_ends(self, inbox: Inbox) -> None:
        """Let a trigger that waits for manifests to end see that those of this round have."""
        for _ in range(2):
            if self._stop.is_set():
                return
            if self._trigger.pending:
                self._scan(inbox)

    def _scan(self, inbox: Inbox) -> list[str]:
        """Names to claim; none where the inbox is out of reach, which is told."""
        names = self._told_once("the inbox", inbox.scan)
        if names is not None:
            self._trigger.seen(inbox.unended)
        return names or []

    def _jobs_of_inbox(self, inbox: Inbox, sources: Sources, runner: Runner) -> Iterator[Job]:
        """Claim manifests as the runner asks for them, until a scan yields no more.

        One that a runner has died with is a round of its own, so that its next victim is known for sure.
        """
        self._refused = 0
        if self._suspect:
            suspect, self._suspect = self._suspect, None
            yield suspect
            return
        stuck: set[str] = set()
        taken = True
        while taken:
            taken = False
            names = self._scan(inbox)
            waiting = deque(name for name in names if name not in stuck and not runner.passes_by(name))
            until = time.monotonic() + _LISTED
            while waiting:
                if taken and time.monotonic() > until:
                    break
                if self._stop.is_set():
                    return
                runner.beat()
                name = waiting.popleft()
                claimed = self._claim(inbox, name)
                if self._refused > _MOST_REFUSED:
                    return  # the next ones would fare no better
                if claimed is None:
                    # Other runners are at work here; in another order we don't race for every one.
                    random.shuffle(waiting)
                    continue
                taken = self._took = True
                try:
                    job = job_of_claimed(claimed, sources, self._outbox)
                except UnavailableError as error:
                    self._tell_fault(name, error)
                    self._told_once(name, claimed.release)
                    stuck.add(name)
                except Exception as error:
                    # Whatever one manifest does to us, the next ones must not wait for it.
                    if not self._told_once(name, partial(self._refuse, claimed, error)):
                        self._told_once(name, claimed.release)
                        stuck.add(name)
                else:
                    if claimed.crashes:
                        self._suspect = job
                        return
                    yield job

    def _claim(self, inbox: Inbox, name: str) -> ClaimedManifest | None:
        """Faults are told, and those in a row that may pass are counted."""
        try:
            claimed = inbox.claim(name)
        except UnavailableError as error:
            self._refused += 1
            self._tell_fault("claims", error)
            return None
        except StoreError as error:
            self._tell_fault(name, error)
            return None
        self._refused = 0
        for key in ("claims", name):
            self._told.pop(key, None)
        return claimed

    def _job_of_file(self, path: Path) -> Job | None:
        try:
            return job_of_file(path, self._allowed, self._outbox)
        except NSTError as error:
            self._tell(path.stem, problems_of(error))
            return None

    def _refuse(self, claimed: ClaimedManifest, error: Exception) -> bool:
        problems = problems_of(error)
        claimed.confirm()
        claimed.fail(problems)
        self._tell(claimed.name, problems)
        return True

    def _tell(self, name: str, problems: Sequence[Problem]) -> None:
        self._problems += len(problems)
        for problem in problems:
            self._listener.failed(name, problem)
        self._listener.manifest_ended(name, len(problems))

    def _told_once(self, key: str, action: Callable[[], T]) -> T | None:
        """Try what may work later; a fault that goes on is told when it begins, not at every try."""
        try:
            result = action()
        except StoreError as error:
            self._tell_fault(key, error)
            return None
        self._told.pop(key, None)
        return result

    def _tell_fault(self, key: str, error: StoreError) -> None:
        away = isinstance(error, UnavailableError)
        self._unreachable |= away
        if self._told.get(key) == str(error) or (away and key in self._told):
            return
        self._told[key] = str(error)
        if away:
            self._listener.note(f"{error}; trying again", level="warning")
        else:
            self._problems += 1
            self._listener.note(str(error), level="error")

    def _sleep_until(self, schedule: Schedule) -> None:
        self._listener.note("waiting for the schedule", seconds=round(schedule.seconds_left()))
        schedule.wait(self._stop)

    def _supervise(self, work: Callable[[], None]) -> int:
        code = supervise(work, self._end_soon, self._leave, self._end_if_stuck)
        failed = self._problems + (self._runner.problems if self._runner else 0)
        return code or int(failed > 0)

    def _end_soon(self) -> None:
        self._stop.set()
        self._wake.set()

    def _end_if_stuck(self) -> None:
        now, earlier = time.monotonic(), self._glanced
        self._glanced = now
        if self._runner and now - earlier > _ASLEEP:
            self._runner.beat()
        if self._runner and self._runner.seconds_silent() > _STUCK:
            # Nothing is handed back: what one is stuck with counts as what it has died with.
            abandon(self._tell_stuck, 1)

    def _tell_stuck(self) -> None:
        self._listener.note(
            f"no progress for {_STUCK / 60:.0f} minutes; this process ends, for another to go on",
            level="error",
        )
        self._listener.close()

    def _hand_back_suspect(self) -> None:
        if self._suspect and self._suspect.claimed:
            self._told_once(self._suspect.name, self._suspect.claimed.release)

    def _leave(self) -> None:
        # Side by side and not for ever, as a store may not answer to one of them.
        actions = [self._hand_back_suspect, *([self._runner.hand_back] if self._runner else [])]
        threads = [threading.Thread(target=action, daemon=True) for action in actions]
        for thread in threads:
            thread.start()
        until = time.monotonic() + 0.8 * LAST
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        # Last, because watchdog's threads may fail to end, and a network may not answer.
        self._listener.close()
        self._trigger.close()
