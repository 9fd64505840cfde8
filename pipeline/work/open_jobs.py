"""The jobs that an owner works on, with their claims: which are still held, and how all are handed back."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipeline.errors import StoreError
from pipeline.events.listener import ManifestLeft
from pipeline.work.job import Job
from pipeline.work.session import Session
from pipeline.work.settling import Settling

_THREADS = 16  # for claims: to release one takes several requests where the inbox is a bucket


class OpenJobs:
    """Jobs from their first pair until they end.

    `left`, `mark_stopping` and `hand_back` may be called from any thread, the others from one.
    """

    def __init__(self, settling: Settling, session: Session) -> None:
        self._settling, self._session = settling, session
        self._jobs: set[Job] = set()
        self._checked = time.monotonic()
        self._handing_back = threading.Lock()

    def add(self, job: Job) -> None:
        """Work on a job begins, or goes on."""
        self._jobs.add(job)

    def left(self) -> list[Job]:
        """The jobs that have not ended."""
        return [job for job in list(self._jobs) if not job.ended]

    def forget_ended(self) -> None:
        """Forget the jobs that have ended."""
        self._jobs = set(self.left())

    def check_claims(self) -> None:
        """Every few seconds: stop work on manifests that a person has taken out of `processing/`."""
        if time.monotonic() < self._checked + self._session.timing.cancelled:
            return
        self._checked = time.monotonic()
        for job in self.left():
            if job.claimed is None or job.finished:
                continue  # its end confirms the claim anyway
            try:
                loss = job.claimed.lost()
            except StoreError:
                continue  # the store cannot be reached; the next check will show
            if loss:
                self._settling.leave(job, loss)

    def mark_stopping(self) -> None:
        """Write into each claim that this process is being stopped, so that its end is not a crash."""
        with ThreadPoolExecutor(_THREADS, "mark") as pool:
            for job in self.left():
                if job.claimed:
                    pool.submit(self._settling.attempt, job, job.claimed.stopping)

    def hand_back(self, stays: Callable[[Job], bool]) -> None:
        """Release the manifests that have not ended, except those that stay claimed."""
        with self._handing_back:  # a second caller waits, because the process may end when it returns
            jobs = [job for job in self.left() if not stays(job)]
            for job in jobs:
                job.ended = True  # first of all: nothing must be published of it while its claim ends
            with ThreadPoolExecutor(_THREADS, "release") as pool:
                for job in jobs:
                    if job.claimed:
                        pool.submit(self._settling.attempt, job, job.claimed.release)
        for job in jobs:
            job.close()
        # Last, because writing a log that nobody reads may block.
        for job in jobs:
            if job.claimed:
                self._session.listener.hear(ManifestLeft(job.name, "manifest handed back"))
