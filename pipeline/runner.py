"""Keeps the device busy: pairs are fetched ahead of it and published behind it."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TypeVar

import torch

from nst.device import is_out_of_memory
from nst.errors import NSTError
from nst.result import Evaluation, Result
from nst.stylizer import Stylizer
from pipeline.engines.encode import publish
from pipeline.engines.prepare import Fetcher, Prepared
from pipeline.errors import ClaimLostError, Problem, UnavailableError, problems_of
from pipeline.events.listener import Listener
from pipeline.manifest import models
from pipeline.outbox import page as report
from pipeline.outbox.outbox import Outbox, Record
from pipeline.work.job import Job

_FETCHERS = 2
_AHEAD = 2  # batches that are fetched ahead of the one on the device
_BEHIND = 64  # results that may wait to be published
_RELEASERS = 16  # threads that hand back manifests, each a few requests of a bucket
_SOON, _SELDOM = 1.0, 60.0  # seconds between tries at a store that is out of reach, at first and at last

T = TypeVar("T")


class StoppedError(Exception):
    """The runner was asked to stop in the middle of a batch."""


@dataclass(frozen=True)
class _Task:
    job: Job
    pair: models.Pair
    outcome: "Future[Prepared | Record]"


class Runner:
    """Works on jobs; only its publishing thread ever settles pairs and ends manifests."""

    def __init__(self, stylizer: Stylizer, outbox: Outbox, listener: Listener, stop: threading.Event) -> None:
        self._stylizer, self._outbox, self._listener = stylizer, outbox, listener
        self._stop = stop
        self._fetcher = Fetcher(stylizer.weights.sha256)
        self._open: set[Job] = set()
        self._put_off: dict[str, float] = {}  # until when manifests that could not be moved to their end
        self._publishing: deque[Future[None]] = deque()
        self._pulse, self._claiming = time.monotonic(), False
        self._handing_back = threading.Lock()
        self.problems = 0

    def run(self, jobs: Iterable[Job]) -> None:
        """Work until there are no more jobs or `stop` is set; then hand back what is not done."""
        with ExitStack() as stack:
            stack.push(self._hand_back_unless_broken)
            self._publisher = stack.enter_context(ThreadPoolExecutor(1, "publish"))
            self._fetchers = stack.enter_context(ThreadPoolExecutor(_FETCHERS, "fetch"))
            self._claimer = stack.enter_context(ThreadPoolExecutor(1, "claim"))
            tasks = self._tasks(jobs)
            stack.callback(self._fetchers.shutdown, wait=False, cancel_futures=True)
            with suppress(StoppedError):
                try:
                    self._work(tasks)
                except torch.AcceleratorError as error:
                    raise NSTError(f"the GPU has failed; only a new process can use it: {error}") from error
        with suppress(StoppedError):
            while self._publishing:
                self._publishing.popleft().result()

    def passes_by(self, name: str) -> bool:
        """Whether a manifest is being worked on here, or was a moment ago and could not be ended."""
        put_off = time.monotonic() < self._put_off.get(name, 0.0)
        return put_off or any(job.name == name for job in list(self._open))

    def seconds_silent(self) -> float:
        """For how long nothing has moved although there is work."""
        return time.monotonic() - self._pulse if self._open or self._claiming else 0.0

    def _hand_back_unless_broken(self, kind: type[BaseException] | None, *_: object) -> None:
        # What has ended this process is to be found in its manifests' counts of crashes.
        if kind is None:
            self.hand_back()

    def hand_back(self) -> None:
        """Release every manifest that has not ended, for another runner or another day."""
        with self._handing_back:  # a second caller waits, as the process may end after it
            unfinished, self._open = self._open, set()  # first of all: others take jobs out of it meanwhile
            claims = [(job, job.claimed) for job in unfinished if job.claimed]
            with ThreadPoolExecutor(_RELEASERS, "release") as pool:
                releases = [pool.submit(self._tell_errors, job, claimed.release) for job, claimed in claims]
        for release in releases:
            release.result()
        # Afterwards, because a log that nobody reads may block.
        for job, _ in claims:
            self._listener.note("manifest handed back", manifest=job.name)

    def _work(self, tasks: Iterator[_Task]) -> None:
        arriving: deque[_Task] = deque()
        ready: list[tuple[_Task, Prepared]] = []
        claiming: Future[list[_Task]] | None = None
        capacity, more = 1, True

        def claim(first: bool = False) -> None:
            nonlocal claiming
            # The first one alone, so that the device need not wait for the second.
            most = 1 if first else _AHEAD * (capacity + 1) - len(arriving) - len(ready)
            if more and claiming is None and most > 0:
                claiming = self._claimer.submit(self._take, tasks, most)

        while not self._stop.is_set():
            waiting = len(arriving) + len(ready)
            claim(first=not waiting)
            if claiming and (claiming.done() or waiting < capacity):
                taken, claiming = claiming.result(), None
                more = bool(taken)
                arriving.extend(taken)
                claim()
            while arriving and (len(ready) < capacity or arriving[0].outcome.done()):
                task = arriving.popleft()
                if prepared := self._arrived(task):
                    ready.append((task, prepared))
            if ready:
                group = ready[0][1].pair.group
                capacity = self._stylizer.capacity(ready[0][1].pair)
                if more and len(arriving) + len(ready) < capacity:
                    continue
                batch = [item for item in ready if item[1].pair.group == group][:capacity]
                ready = [item for item in ready if item not in batch]
                claim()
                self._transfer(batch)
            elif not (more or arriving):
                return

    def _take(self, tasks: Iterator[_Task], count: int) -> list[_Task]:
        self.beat()
        self._claiming = True
        try:
            return list(islice(tasks, count))
        finally:
            self._claiming = False

    def _tasks(self, jobs: Iterable[Job]) -> Iterator[_Task]:
        for job in jobs:
            self.beat()
            self._open.add(job)
            self._listener.manifest_started(job.name, len(job.pairs))
            for pair in job.pairs:
                yield _Task(job, pair, self._fetchers.submit(self._prepare, job, pair))

    def _prepare(self, job: Job, pair: models.Pair) -> Prepared | Record:
        inputs = self._patiently(partial(self._fetcher.read, pair, job.sources))
        earlier = self._patiently(partial(self._outbox.record, job.name, pair.id))
        if earlier:
            current = partial(self._outbox.is_current, job.name, earlier, inputs.digest)
            if self._patiently(current):
                return earlier
        return self._fetcher.prepare(pair, inputs, earlier)

    def _arrived(self, task: _Task) -> Prepared | None:
        try:
            outcome = task.outcome.result()
            self.beat()
        except StoppedError:
            raise
        except Exception as error:
            self._later(self._settle, task, _problem(task, error))
            return None
        if task.job.lost:
            return None
        if isinstance(outcome, Record):
            self._listener.pair_done(task.job.name, outcome, computed=False)
            self._later(self._settle, task, None, outcome)
            return None
        return outcome

    def _transfer(self, batch: Sequence[tuple[_Task, Prepared]]) -> None:
        def report_evaluation(index: int, evaluation: Evaluation) -> None:
            if self._stop.is_set():
                raise StoppedError
            self.beat()
            task = batch[index][0]
            self._listener.evaluated(task.job.name, task.pair.id, evaluation)

        problem = None
        try:
            results = self._stylizer.run([p.pair for _, p in batch], report_evaluation)
        except StoppedError:
            raise
        except Exception as error:
            if isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error):
                raise
            problem = _problem(batch[0][0], error)
        # Only out here is the memory free again that the error's traceback held.
        if problem is None:
            for (task, prepared), result in zip(batch, results, strict=True):
                self._later(self._publish, task, prepared, result)
        elif len(batch) == 1:
            self._later(self._settle, batch[0][0], problem)
        else:
            # Too much for the memory, or one of them is bad: smaller batches tell.
            self._transfer(batch[: len(batch) // 2])
            self._transfer(batch[len(batch) // 2 :])

    def _publish(self, task: _Task, prepared: Prepared, result: Result) -> None:
        job = task.job
        if job.lost:
            return
        put = partial(publish, self._outbox, job, task.pair.id, prepared, result, self._stylizer)
        try:
            record = self._patiently(put)
        except StoppedError:
            raise
        except ClaimLostError as error:
            self._lose(job, error)
        except Exception as error:
            self._settle(task, _problem(task, error))
        else:
            self._listener.pair_done(job.name, record, computed=True)
            if job.claimed:
                self._tell_errors(job, partial(self._patiently, job.claimed.progressed))
            self._settle(task, record=record)

    def beat(self) -> None:
        """Something has moved."""
        self._pulse = time.monotonic()

    def _settle(self, task: _Task, problem: Problem | None = None, record: Record | None = None) -> None:
        job = task.job
        self.beat()
        if job.lost:
            return
        if problem:
            job.problems.append(problem)
            self.problems += 1
            self._listener.failed(job.name, problem)
        if record:
            job.records.append(record)
        if job.finished:
            self._tell_errors(job, partial(self._patiently, partial(self._end, job)))
            if job in self._open:
                self._put_off[job.name] = time.monotonic() + _SELDOM
                self._open.discard(job)
                if job.claimed:
                    self._tell_errors(job, job.claimed.release)

    def _end(self, job: Job) -> None:
        job.confirm()
        self._tell_errors(job, partial(self._patiently, partial(self._put_page, job)))
        if job.lost:
            return
        if job.claimed and job.problems:
            job.claimed.fail(job.problems)
        elif job.claimed:
            job.claimed.complete()
        self._open.discard(job)
        self._listener.manifest_ended(job.name, len(job.problems), self._outbox.page_url(job.name))

    def _put_page(self, job: Job) -> None:
        job.confirm()  # it may have been waited for
        place = {pair.id: index for index, pair in enumerate(job.pairs)}
        records = sorted(job.records, key=lambda record: place[record.id])
        self._outbox.put_page(job.name, report.page(job.name, records, job.problems))

    def _lose(self, job: Job, error: ClaimLostError) -> None:
        job.lost = True
        self._open.discard(job)
        self._listener.note(str(error), level="warning", manifest=job.name)

    def _patiently(self, action: Callable[[], T]) -> T:
        """Try for as long as the store is out of reach, which is nobody's fault, and we are not to stop."""
        wait = _SOON
        while True:
            try:
                return action()
            except UnavailableError as error:
                self.beat()
                if wait == _SOON:
                    self._listener.note(f"{error}; trying again", level="warning")
            if self._stop.wait(wait):
                raise StoppedError
            wait = min(2 * wait, _SELDOM)

    def _tell_errors(self, job: Job, action: Callable[[], None]) -> None:
        try:
            action()
        except StoppedError:
            raise
        except ClaimLostError as error:
            self._lose(job, error)
        except Exception as error:
            for problem in problems_of(error):
                self.problems += 1
                self._listener.note(str(problem), level="error", manifest=job.name)

    def _later(self, action: Callable[..., None], *arguments: object) -> None:
        """Queue for the publishing thread; wait where it has fallen behind."""
        self._publishing.append(self._publisher.submit(action, *arguments))
        while len(self._publishing) > _BEHIND or self._publishing[0].done():
            self._publishing.popleft().result()
            if not self._publishing:
                return


def _problem(task: _Task, error: Exception) -> Problem:
    if is_out_of_memory(error):
        p = task.pair.parameters
        scale = f" or style_scale from {p.style_scale:g}" if p.style_scale > 1 else ""
        error = NSTError(f"too large for the memory at hand; lower max_size from {p.max_size}{scale}")
    return problems_of(error, task.pair.place, task.pair.id)[0]
