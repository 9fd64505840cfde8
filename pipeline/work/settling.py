"""What becomes of pairs and manifests: results are published, pairs settled, manifests ended."""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from pipeline.engines.base import Finished
from pipeline.errors import ClaimLostError, Problem, StoppedError, StoreError, TakenAwayError, problems_of
from pipeline.events.listener import Failed, ManifestEnded, ManifestLeft, Note, PairDone
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.manifest.models import Pair
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.pages import Kept
from pipeline.outbox.results import Found
from pipeline.outbox.shared_end import SharedEnd
from pipeline.work.job import Job
from pipeline.work.patience import Patience
from pipeline.work.session import Session

_MOST_DOUBLED = 4  # times that the wait for the next try with a manifest is doubled

T = TypeVar("T")


class Settling:
    """Publishes results and ends manifests. `problems` counts what failed.

    A manifest ends when each of its pairs is done or has failed: `_end` moves it. Stores that are
    unavailable are waited for, so that all methods may raise `StoppedError`.
    """

    def __init__(
        self, outbox: Outbox, session: Session, patience: Patience, cancel: Callable[[str], None]
    ) -> None:
        """`cancel` is called with the name of a manifest whose claim was lost."""
        self._outbox, self._listener, self._timing = outbox, session.listener, session.timing
        self._patience, self._cancel, self._changed = patience, cancel, session.changed
        self._counting = threading.Lock()
        self._put_offs: dict[str, int] = {}  # how often manifests were put off, by name
        self.problems = 0

    def publish(self, job: Job, finished: Finished, earlier: Found) -> Kept | Problem | None:
        """Put a result into the outbox in place of an earlier one; none if the manifest is left."""
        if job.ended or job.results is None:
            return None
        pair = finished.task.pair
        put = partial(
            job.results.put,
            finished.record,
            finished.picture,
            finished.loss_log,
            finished.thumbnails,
            earlier,
            finished.snapshots,
        )
        try:
            kept = self._patience.wait_for(put)
        except StoppedError:
            raise
        except ClaimLostError as error:
            self.leave(job, error)
            return None
        except Exception as error:
            return problems_of(error, pair.place, pair.id)[0]
        with job.lock:
            job.computed += 1
        self._listener.hear(PairDone(job.name, kept.record, computed=True))
        return kept

    def settle(self, job: Job, result: Kept | Problem, reused: bool = False) -> None:
        """One more pair is done, or has failed. After the last one the manifest ends.

        `reused` if the record came from the file of its page.
        """
        with job.lock:
            if job.ended:
                return
            if isinstance(result, Problem):
                job.problems.append(result)
                self._count_problem()
                self._listener.hear(Failed(job.name, result))
            else:
                job.done += 1
            self._add_to_page(job, result, reused)
            if job.finished and not job.ended:
                self.wait_for(job, partial(self._end, job))
                if not job.ended:
                    self._put_off(job, "manifest could not be ended")
        self._changed.set()

    def refuse(self, job: Job, pair: Pair, error: StoreError) -> None:
        """A pair cannot be handed out: it has failed, unless the claim on its manifest is gone."""
        if isinstance(error, ClaimLostError):
            self.leave(job, error)
        else:
            self.settle(job, problems_of(error, pair.place, pair.id)[0])

    def leave(self, job: Job, error: ClaimLostError) -> None:
        """Stop work on a manifest whose claim is gone. Nothing of it is published any more."""
        with job.lock:
            if job.ended:
                return
            job.ended = True
        if job.claimed is None:
            self._count_problem()  # nobody else continues it, as another runner does with one of an inbox
        self._stop(job, str(error), _end_claim, lost=not isinstance(error, TakenAwayError))

    def put_off(self, job: Job, reason: str) -> None:
        """Hand a manifest back, and do not try it again for a while, which counts as a problem."""
        self._count_problem()
        self._put_off(job, reason)

    def _put_off(self, job: Job, reason: str) -> None:
        with job.lock:
            if job.ended:
                return
            before = self._put_offs.get(job.name, 0)
            self._put_offs[job.name] = min(before + 1, _MOST_DOUBLED)
            job.ended, job.put_off_until = True, time.monotonic() + self._timing.put_off * 2**before
        self._stop(job, reason, ClaimedManifest.release)

    def _stop(
        self, job: Job, reason: str, end: Callable[[ClaimedManifest], None], lost: bool = False
    ) -> None:
        """Drop the tasks of a manifest that is worked on no longer; `end` is what becomes of its claim."""
        self._cancel(job.name)
        if job.claimed:
            self.attempt(job, partial(end, job.claimed))
        job.close()
        self._listener.hear(ManifestLeft(job.name, reason, "warning", claim_lost=lost))
        self._changed.set()

    def attempt(self, job: Job, action: Callable[[], T]) -> T | None:
        """The result of what may fail without harm to anything else; none if it fails, which is reported."""
        try:
            return action()
        except StoppedError:
            raise
        except ClaimLostError as error:
            self.leave(job, error)
        except Exception as error:
            for problem in problems_of(error):
                self._count_problem()
                self._listener.hear(Note(str(problem), "error", {"manifest": job.name}))
        return None

    def wait_for(self, job: Job, action: Callable[[], T]) -> T | None:
        """The same, but a store that is unavailable is waited for."""
        return self.attempt(job, partial(self._patience.wait_for, action))

    def _count_problem(self) -> None:
        with self._counting:
            self.problems += 1

    def _add_to_page(self, job: Job, result: Kept | Problem, reused: bool) -> None:
        """Write the page of a pair if all of its pairs have settled, and the manifest has several pages."""
        if job.results is None or job.shared:
            return  # there is no folder; or this is a shard, and other processes have other pairs of the page
        number = job.results.pages.settle(result, reused)
        if number is not None:
            self.wait_for(job, partial(job.results.pages.put, number))

    def _end(self, job: Job) -> None:
        job.confirm()
        if job.shared:
            self._end_shard(job, job.shared)
            return
        if job.results:
            self.wait_for(job, partial(job.results.pages.put_index, job.problems))
        if job.ended:
            return
        if job.claimed and job.problems:
            job.claimed.fail(job.problems)
        elif job.claimed:
            job.claimed.complete()
        self._put_offs.pop(job.name, None)
        job.close()
        self._listener.hear(ManifestEnded(job.name, len(job.problems), self._outbox.page_url(job.name)))

    def _end_shard(self, job: Job, shared: SharedEnd) -> None:
        """End the work on a shard; if no pair of any shard is left, the whole manifest has ended."""
        state = self.wait_for(job, partial(shared.end, job.problems, job.computed > 0))
        if state is None or job.ended:
            return
        job.close()
        if state.left:
            reason = f"shard {shared.shard} has ended; {state.left:,} pairs of other shards are left"
            self._listener.hear(ManifestLeft(job.name, reason))
        else:
            self._listener.hear(ManifestEnded(job.name, state.failed, self._outbox.page_url(job.name)))


def _end_claim(claimed: ClaimedManifest) -> None:
    """End a claim, which may still hold if it is the reservation that was lost."""
    try:
        gone = claimed.lost() is not None
    except StoreError:
        gone = False  # a release ends the claim in any case
    claimed.drop() if gone else claimed.release()
