"""What all parts of the work of one process share."""

import threading
import time

from pipeline.events.listener import Event, FanOut, Listener, Note
from pipeline.settings import Caps
from pipeline.timing import Timing


class Pulse:
    """Knows for how long nothing has happened. It listens to events: each one is a sign of progress."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self.working = False  # silence counts only while something should happen

    def hear(self, event: Event) -> None:
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
    """The listener, the clocks, the caps, and the events by which threads stop and wake each other."""

    def __init__(self, listener: Listener, timing: Timing = Timing(), caps: Caps = Caps()) -> None:
        self.timing, self.caps = timing, caps
        self.pulse = Pulse()
        self.listener: Listener = FanOut([listener, self.pulse])
        self.stop = threading.Event()  # end as soon as possible
        self.wake = threading.Event()  # scan the inbox now
        self.changed = threading.Event()  # an outcome has come, or the engine may want more tasks

    def warn(self, message: str) -> None:
        """Report something to a person that does not stop the work."""
        self.listener.hear(Note(message, "warning"))

    def end_soon(self) -> None:
        """Ask all threads to end."""
        for event in (self.stop, self.wake, self.changed):
            event.set()
