"""Work in a thread, signals in the main one, so that a stop never waits for a long computation."""

import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

_GRACE = 1.3  # seconds that work has to end by itself after a signal
_GLANCE = 0.1  # seconds between two looks for signals
_LAST = 0.5  # seconds for leaving, once it is abandoned


def supervise(
    work: Callable[[], None],
    stop: Callable[[], None],
    leave: Callable[[], None],
    glance: Callable[[], None] = lambda: None,
) -> int:
    """Run `work`, and `glance` every now and then; return 0, or 128 + N after signal N.

    What `work` raises is raised here.

    SIGINT and SIGTERM call `stop`. Work that has not ended in time, or that is signalled again, is
    abandoned where it stands: `leave` is called and the process ends.
    """
    news, ended = threading.Event(), threading.Event()
    received: list[int] = []
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        ended.set()
        news.set()

    def on_signal(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            _abandon(leave, number)
        stop()
        news.set()

    earlier = {n: signal.signal(n, on_signal) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        threading.Thread(target=guarded, name="runner", daemon=True).start()
        while not _await(news, _GLANCE):
            glance()
        if received and not _await(ended, _GRACE):
            _abandon(leave, received[0])
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
    if errors:
        raise errors[0]
    return 128 + received[0] if received else 0


def _await(event: threading.Event, seconds: float) -> bool:
    # A signal that lands on another thread does not wake this one, which alone may handle it.
    until = time.monotonic() + seconds
    while not event.wait(_GLANCE):
        if time.monotonic() > until:
            return False
    return True


def _abandon(leave: Callable[[], None], number: int) -> None:
    # Leaving may hang, on a dead network or on a log that nobody reads.
    last = threading.Timer(_LAST, os._exit, (128 + number,))
    last.daemon = True
    last.start()
    try:
        leave()
    finally:
        os._exit(128 + number)
