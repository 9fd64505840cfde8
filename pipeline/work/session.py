"""What all parts of the work of one process share."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import StoppedError
from pipeline.events.listener import Event, FanOut, Listener, Note, Scanned
from pipeline.events.previews import Previews
from pipeline.settings import Caps
from pipeline.stores.search import Search
from pipeline.timing import Timing


class Pulse:
    """Knows for how long nothing has happened. It listens to events: each one is a sign of progress.

    A scan is none: the inbox is also scanned while the device is stuck.
    """

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.working = False  # silence counts only while something should happen

    def hear(self, event: Event) -> None:
        if not isinstance(event, Scanned):
            self.beat()

    def close(self) -> None:
        pass

    def beat(self) -> None:
        """Something has happened."""
        self._last = time.monotonic()

    def seconds_silent(self) -> float:
        """Seconds since the last sign of progress; 0 while nothing should happen."""
        return time.monotonic() - self._last if self.working else 0.0


class Session:
    """The listener, the clocks, the caps, previews, and events by which threads stop and wake each other."""

    def __init__(self, listener: Listener, timing: Timing = Timing(), caps: Caps = Caps()) -> None:
        self.timing, self.caps = timing, caps
        self.pulse, self.previews = Pulse(), Previews(timing)
        # Previews come first: once another listener knows that a pair has ended, there is no preview of it.
        self.listener: Listener = FanOut([self.previews, listener, self.pulse])
        self.stop = threading.Event()  # end as soon as possible
        self.wake = threading.Event()  # scan the inbox now
        self.changed = threading.Event()  # an outcome has come, or the engine may want more tasks

    def warn(self, message: str) -> None:
        """Report something to a person that does not stop the work."""
        self.listener.hear(Note(message, "warning"))

    @contextmanager
    def searching(self, manifest: str) -> Iterator[Search]:
        """A search for the images of a manifest. It is reported if it takes long.

        It raises `StoppedError` once `stop` is set.
        """

        def step() -> None:
            if self.stop.is_set():
                raise StoppedError
            self.pulse.beat()

        slow = "the search for the images of a manifest takes long; it goes on"
        with self.reporting_slowness(slow, manifest=manifest):
            yield Search(step, self.warn)

    @contextmanager
    def reporting_slowness(self, message: str, **details: str) -> Iterator[None]:
        """Report the message, once, if what is done in the meantime takes longer than `Timing.slow`."""
        note = Note(message, "warning", details)
        timer = threading.Timer(self.timing.slow, self.listener.hear, [note])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def announce(self) -> None:
        """Wake the threads that look for work: a manifest was put into the inbox."""
        self.wake.set()
        self.changed.set()

    def end_soon(self) -> None:
        """Ask all threads to end."""
        for event in (self.stop, self.wake, self.changed):
            event.set()
