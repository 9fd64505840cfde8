"""How the process stops: by a signal, by its own decision when it is stuck, in order or at once.

The work runs in another thread. The main thread does nothing but wait, so that a signal never waits for
a long computation. What happens on SIGINT, SIGTERM or SIGHUP (unless SIGHUP is ignored, as under nohup):

1. `Session.end_soon` sets `stop`, and `mark` writes into every claim that the process is being stopped, so
   that its end is not counted as a crash, whatever happens next. The engine ends at its next evaluation or
   tile, the owner publishes what is finished and hands its manifests back. `Timing.grace` seconds remain for
   that; then the program exits with 128 + N.
2. Work that has not ended by then, or that gets a second signal, is abandoned: `leave` hands the manifests
   back, side by side, within `Timing.leave` seconds, and the process ends at once, without clean-up.

A process in which nothing happens for `Timing.stuck` seconds although it has work ends with 1, and hands
nothing back: the next runner counts it as a crash of the manifests that it held.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from pipeline.events.listener import Note
from pipeline.work.session import Session

_TICK = 0.1  # seconds between two checks of the main thread
_LEAVE_SHARE = 0.8  # of `Timing.leave`, for handing back; the rest is for the log


def supervise(
    session: Session,
    work: Callable[[], object],
    mark: Sequence[Callable[[], None]],
    leave: Sequence[Callable[[], None]],
    close: Callable[[], None] = lambda: None,
) -> int:
    """Run `work` in a thread; 0 when it has ended, or 128 + N after signal N. Raises what `work` raises.

    All of `mark` run side by side after the first signal. When work is abandoned, all of `leave` do, and then
    `close` is called.
    """
    ended = threading.Event()
    received: list[int] = []
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        ended.set()

    def abandon(code: int) -> NoReturn:
        _abandon(session, leave, close, code)

    def on_signal(number: int, frame: FrameType | None) -> None:
        # A terminal that is closed may send SIGHUP twice, or beside another signal: one request to stop.
        again = number != signal.SIGHUP and any(n != signal.SIGHUP for n in received)
        received.append(number)
        if again:
            abandon(128 + number)
        session.end_soon()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    earlier = {n: signal.signal(n, on_signal) for n in numbers}
    try:
        threading.Thread(target=guarded, name="work", daemon=True).start()
        # Python runs a handler in the main thread only, and wakes it for none that another thread received:
        # the wait must be short. The handler must not set the event, because it may interrupt this very wait.
        clock = time.monotonic()
        while not received and not ended.wait(_TICK):
            clock = _check_progress(session, clock)
        if received:
            for action in mark:
                threading.Thread(target=action, name="mark", daemon=True).start()
            if not _ends(ended, session.timing.grace):
                abandon(128 + received[0])
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if errors:
        raise errors[0]
    return 128 + received[0] if received else 0


def _check_progress(session: Session, last: float) -> float:
    """End the process if it is stuck. `last` is when this was checked last; returns the time now."""
    now = time.monotonic()
    if now - last > session.timing.asleep:
        session.pulse.beat()  # the whole process was suspended, which is not its own silence
    if session.pulse.seconds_silent() > session.timing.stuck:
        minutes = session.timing.stuck / 60
        message = f"no progress for {minutes:.0f} minutes; this process ends, and the next runner goes on"
        _abandon(session, [], lambda: session.listener.hear(Note(message, "error")), 1)
    return now


def _abandon(
    session: Session, leave: Sequence[Callable[[], None]], close: Callable[[], None], code: int
) -> NoReturn:
    """End this process without clean-up, after `leave` and `close`, or after `Timing.leave` seconds."""
    # Both may hang, on a network that is dead or on a log that nobody reads.
    last = threading.Timer(session.timing.leave, os._exit, (code,))
    last.daemon = True
    last.start()
    try:
        threads = [threading.Thread(target=action, daemon=True) for action in leave]
        for thread in threads:
            thread.start()
        until = time.monotonic() + _LEAVE_SHARE * session.timing.leave
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        close()
        session.listener.close()
    finally:
        os._exit(code)


def _ends(ended: threading.Event, grace: float) -> bool:
    until = time.monotonic() + grace
    while not ended.wait(_TICK):
        if time.monotonic() > until:
            return False
    return True
