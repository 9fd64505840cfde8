"""Waits for the end of another process that publishes where this one is going to."""

import time

from pipeline.errors import StoreError
from pipeline.events.listener import Note
from pipeline.stores.base import Reservation, Store
from pipeline.work.session import Session

_PATIENCE = 3  # times the duration of a lease


def patience(session: Session) -> float:
    """Until when a process that begins now waits for others, on the monotonic clock."""
    return time.monotonic() + _PATIENCE * session.timing.lease


def reserved(
    store: Store, name: str, session: Session, until: float, taken: str, remedy: str, part: str = ""
) -> Reservation:
    """The reservation of a folder of results, or of a part of it.

    A process before this one may have died, perhaps on another machine, where this one cannot see that: its
    reservation is waited for until it has not been renewed for the duration of a lease. `taken` says what
    another process does meanwhile. Raises `StoreError`, with `remedy`, if that goes on after `until`.
    """
    place, timing, waiting = f"{store.url}/{name}", session.timing, False
    while (reservation := store.reserve(name, part)) is None:
        if time.monotonic() > until:
            raise StoreError(f"{place}: {taken}; {remedy}")
        if not waiting:
            session.listener.hear(Note(f"{place}: {taken}; waiting for its end", details={"manifest": name}))
        waiting = True
        session.stop.wait(min(timing.scan, timing.lease / 4))
    return reservation
