"""The owner of manifests: hands out their pairs, and takes back what an engine made of them.

The feed claims a manifest; from its first pair on, the owner has the claim. The thread that calls `work`
hands out tasks, and notices when a person has taken a manifest away. Another thread takes the outcomes, and
several publish them, because a store may need long for each file.
"""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

from pipeline.engines.base import (
    Changed,
    Died,
    Engine,
    Failed,
    Finished,
    Outcome,
    Task,
    Unchanged,
    Unread,
)
from pipeline.errors import (
    EngineLostError,
    Problem,
    StoppedError,
    StoreError,
    UnavailableError,
)
from pipeline.events.listener import PairDone, StoreUnavailable
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.pages import Kept
from pipeline.work.feed import Feed, Given
from pipeline.work.job import TRIES, Job
from pipeline.work.lookup import Lookup
from pipeline.work.open_jobs import OpenJobs
from pipeline.work.patience import Patience
from pipeline.work.session import Session
from pipeline.work.settling import Settling
from pipeline.work.tasks import HandedOut, Tasks

_PUBLISHERS = 8  # threads; with one, a bucket that answers after 50 ms gets 5 pictures a second


class Owner:
    """Works on jobs with an engine."""

    def __init__(self, engine: Engine, outbox: Outbox, session: Session) -> None:
        self._engine, self._lookup, self._session = engine, Lookup(outbox, session), session
        self._patience = Patience(session.stop, self._on_wait, session.timing)
        self._settling = Settling(outbox, session, self._patience, engine.cancel)
        self._open = OpenJobs(self._settling, session)
        self._tasks = Tasks(engine, self._settling)
        self._taker = threading.Thread(target=self._take, name="take", daemon=True)
        self._publishers = threading.Semaphore(_PUBLISHERS)  # those that have nothing to do
        self._failure: BaseException | None = None  # the first one, which ends the work

    @property
    def problems(self) -> int:
        """How many pairs and manifests have failed."""
        return self._settling.problems

    def start(self) -> None:
        """Start the engine. Raises `NSTError`."""
        self._engine.start(self._session.listener, self._session.changed.set, self._session.previews)
        self._taker.start()

    def work(self, feed: Feed) -> None:
        """Hand out pairs until the feed has no more and all have come back, or until the session stops.

        Raises `EngineLostError`.
        """
        self._session.pulse.beat()
        self._session.pulse.working = True
        try:
            self._work(feed)
        except StoppedError:
            pass
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._session.pulse.working = False

    def close(self) -> None:
        """Publish what is finished, stop the engine, and hand back every manifest that has not ended."""
        if self._failure:
            self._session.end_soon()  # the publishing threads must not wait for a store any more
        self._engine.stop()
        if self._taker.is_alive():
            self._taker.join()
        self.hand_back()
        self._engine.close()

    def mark_stopping(self) -> None:
        """Write into each claim that this process is being stopped, so that its end is not a crash."""
        self._open.mark_stopping()

    def hand_back(self) -> None:
        """Release the manifests that have not ended."""
        self._open.hand_back(self._stays_claimed)

    def _work(self, feed: Feed) -> None:
        while True:
            self._session.changed.clear()
            if self._session.stop.is_set():  # checked after the clearing, so that a stop is never missed
                return
            if self._failure:
                raise self._failure
            self._open.forget_ended()
            self._tasks.forget_ended()
            idle = not self._open.left()
            if not self._hand_out(feed) and idle:
                return
            self._tasks.send_single()
            self._open.check_claims()
            self._session.changed.wait(self._session.timing.cancelled)

    def _stays_claimed(self, job: Job) -> bool:
        """Whether a manifest may have caused the failure here; the next runner counts a crash then."""
        lost = isinstance(self._failure, EngineLostError)
        return bool(job.deaths) if lost else self._failure is not None

    def _hand_out(self, feed: Feed) -> bool:
        """Give the engine as many tasks as it wants; false if the feed has none for it, now or later."""
        handed_out = False
        while not self._session.stop.is_set() and self._engine.wanted() > 0:
            if self._tasks.blocked:
                return True
            batch = self._engine.batch
            # One batch is computed and one is next: what would begin later is left to other runners.
            found = feed.next(batch, claim=self._tasks.newcomers < 2 * batch)
            if found is None:
                self._engine.flush()
                return handed_out
            handed_out = True
            self._submit(found)
            self._open.check_claims()
        # An engine that wants nothing may have no machine for a long time. Without work, do not wait for it.
        return bool(self._open.left()) or self._session.stop.is_set() or feed.has_more()

    def _submit(self, given: Given) -> None:
        job, pair, sources = given.job, given.pair, given.job.sources
        self._open.add(job)
        try:
            earlier = self._patience.wait_for(partial(self._lookup.find, job, pair))
            if earlier.refusal and not earlier.whole:
                raise StoreError(earlier.refusal)
        except StoreError as error:
            self._settling.refuse(job, pair, error)
            return
        task = Task(
            number=self._tasks.next_number(),
            manifest=job.name,
            pair=pair,
            base=sources.base_url,
            allowed=sources.allowed_urls,
            known=earlier.record.input_digest if earlier.record and earlier.whole else None,
            images=self._lookup.unchanged_images(job, earlier),
            refusal=earlier.refusal,
            priority=job.priority,
            newcomer=given.newcomer,
        )
        self._tasks.add(HandedOut(job, task, earlier))

    def _take(self) -> None:
        """In a thread: take outcomes, and let other threads publish them."""
        try:
            with ThreadPoolExecutor(_PUBLISHERS, "publish") as publishers:
                while outcome := self._engine.take():
                    handed_out = self._tasks.came_back(outcome.task.number)
                    if handed_out is None or handed_out.job.ended:
                        self._tasks.forget(outcome.task.number)
                    elif isinstance(outcome, Changed):  # in order, and before more is handed out
                        self._tasks.add_single(handed_out)
                        self._tasks.forget(outcome.task.number)
                    else:
                        self._publishers.acquire()  # what is not published yet waits in the engine
                        publishers.submit(self._publish, outcome, handed_out)
                    self._session.changed.set()
        except BaseException as error:
            self._failure = self._failure or error
        self._session.changed.set()

    def _publish(self, outcome: Outcome, handed_out: HandedOut) -> None:
        try:
            self._receive(outcome, handed_out)
            self._tasks.forget(outcome.task.number)
        except StoppedError:
            pass
        except BaseException as error:
            self._failure = self._failure or error
        self._publishers.release()
        self._session.changed.set()

    def _receive(self, outcome: Outcome, handed_out: HandedOut) -> None:
        job, earlier = handed_out.job, handed_out.earlier
        match outcome:
            case Finished():
                if result := self._settling.publish(job, outcome, earlier):
                    self._settle(handed_out, result)
            case Unchanged() if earlier.kept:
                self._session.listener.hear(PairDone(job.name, earlier.kept.record, computed=False))
                self._settle(handed_out, earlier.kept, earlier.reused)
            case Failed(_, problem):
                self._settle(handed_out, problem)
            case Unread(_, reason):
                self._settling.put_off(job, reason)
            case Died(_, reason):
                self._try_again(handed_out, reason)

    def _settle(self, handed_out: HandedOut, result: Kept | Problem, reused: bool = False) -> None:
        self._ease(handed_out, done=isinstance(result, Kept))
        self._settling.settle(handed_out.job, result, reused)

    def _ease(self, handed_out: HandedOut, done: bool) -> None:
        """Note that a pair of a suspect has ended: after enough of them the manifest is no suspect.

        This comes before the manifest ends, so that a death in between is not counted for the pair.
        """
        job, caution = handed_out.job, handed_out.job.caution
        if caution is None or job.ended:
            return
        if handed_out.task.alone:
            if self._settling.wait_for(job, partial(caution.settled, done, self._engine.begun)):
                job.caution = None
        elif done:
            self._settling.wait_for(job, caution.found_done)

    def _try_again(self, handed_out: HandedOut, reason: str) -> None:
        """An engine died with a pair: compute it again, alone; after three deaths it has failed."""
        job, pair = handed_out.job, handed_out.task.pair
        job.deaths[pair.id] += 1
        if job.deaths[pair.id] == TRIES:
            message = f"{TRIES} engines in a row have died with it ({reason}); check its images and its size"
            self._settling.settle(job, Problem(pair.place, message, pair.id))
            return
        task = replace(handed_out.task, number=self._tasks.next_number(), alone=True)
        self._tasks.send(replace(handed_out, task=task))

    def _on_wait(self, error: UnavailableError, first: bool) -> None:
        self._session.listener.hear(StoreUnavailable(str(error), again=not first))
