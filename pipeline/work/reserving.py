"""Waits for the end of other processes that publish where this one is going to."""

import time
from collections.abc import Iterable

from pipeline.errors import StoreError
from pipeline.events.listener import Note
from pipeline.stores.base import Store
from pipeline.work.job import Job
from pipeline.work.session import Session

_PATIENCE = 3  # times the duration of a lease


def reserve(
    jobs: Iterable[Job], store: Store, session: Session, taken: str, remedy: str, part: str = ""
) -> dict[Job, StoreError]:
    """Reserve the folder of results of each job, or a part of it; the jobs for which that failed, and why.

    A process before this one may have died, perhaps on another machine, where this one cannot see that. Its
    reservations end when they were not renewed for the duration of a lease. For a process that lives, this
    one waits three times as long. `taken` says what that process does, and `remedy` what to do about it.
    """
    timing, failed, told = session.timing, dict[Job, StoreError](), set[Job]()
    until, waiting = time.monotonic() + _PATIENCE * timing.lease, list(jobs)
    while waiting:
        late, blocked = time.monotonic() > until, False
        # All of them each time, so that the waits for those of other machines run at the same time.
        for job in list(waiting):
            place = f"{store.url}/{job.name}"
            try:
                reservation = store.reserve(job.name, part)
            except StoreError as error:
                failed[job] = error
                waiting.remove(job)
                continue
            if reservation and blocked and not late:
                # Keep none while another one is missing: its holder may be waiting for this one.
                reservation.close()
            elif reservation:
                job.reservation = reservation
                waiting.remove(job)
            elif late:
                failed[job] = StoreError(f"{place}: {taken}; {remedy}")
                waiting.remove(job)
            else:
                blocked = True
                if job not in told:
                    told.add(job)
                    note = Note(f"{place}: {taken}; waiting for its end", details={"manifest": job.name})
                    session.listener.hear(note)
        if waiting:
            time.sleep(min(timing.scan, timing.lease / 4))
    return failed
