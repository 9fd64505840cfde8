"""Work in a thread, signals in the main one, so that a stop never waits for a long computation."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

_GRACE = 1.3  # seconds that work has to end by itself after a signal
_GLANCE = 0.1  # seconds between two looks for signals
LAST = 0.5  # seconds for leaving, once it is abandoned


def supervise(
    work: Callable[[], None],
    stop: Callable[[], None],
    leave: Callable[[], None],
    glance: Callable[[], None] = lambda: None,
) -> int:
    """Run `work`, and `glance` every now and then; return 0, or 128 + N after signal N.

    What `work` raises is raised here.

    SIGINT, SIGTERM and SIGHUP (unless that is ignored, as under nohup) call `stop`. Work that has not ended
    in time, or that is signalled again, is abandoned where it stands: `leave` is called and the process ends.
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

    def on_signal(number: int, frame: FrameType | None) -> None:
        # A terminal that is closed may say so twice, or beside another signal: that is no impatience.
        again = number != signal.SIGHUP and any(n != signal.SIGHUP for n in received)
        received.append(number)
        if again:
            abandon(leave, 128 + number)
        stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    earlier = {n: signal.signal(n, on_signal) for n in numbers}
    try:
        threading.Thread(target=guarded, name="runner", daemon=True).start()
        # A signal that lands on another thread does not wake this one, which alone may handle it. Nor may
        # its handler set the event, for which it would wait in vain where it interrupts the waiting itself.
        while not received and not ended.wait(_GLANCE):
            glance()
        if received and not _ends(ended):
            abandon(leave, 128 + received[0])
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if errors:
        raise errors[0]
    return 128 + received[0] if received else 0


def abandon(leave: Callable[[], None], code: int) -> NoReturn:
    """End this process where it stands, after `leave` or after half a second."""
    # Leaving may hang, on a dead network or on a log that nobody reads.
    last = threading.Timer(LAST, os._exit, (code,))
    last.daemon = True
    last.start()
    try:
        leave()
    finally:
        os._exit(code)


def _ends(ended: threading.Event) -> bool:
    until = time.monotonic() + _GRACE
    while not ended.wait(_GLANCE):
        if time.monotonic() > until:
            return False
    return True
