"""What says 'scan the inbox now'. A trigger carries no work, so that a lost event costs only time."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from croniter import CroniterError, croniter
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from pipeline.errors import UsageError

_LONGEST, _SHORTEST = 60.0, 0.01  # seconds between two checks of the clock
_SET_BACK = timedelta(hours=2)  # a clock that goes back further was set; summer time ends with one hour

# watchdog logs an error when it is stopped, on a line that is not JSON.
for _name in ("watchdog", "fsevents"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class Trigger:
    """Wakes the scan of an inbox. This one never does, so that only the regular scan is left."""

    @property
    def pending(self) -> bool:
        """Whether it waits for scans that show which manifests have ended."""
        return False

    @property
    def longest_interval(self) -> float | None:
        """Seconds between two scans at most while nothing happens; none where the inbox's store decides."""
        return None

    def refresh(self) -> None:
        """Called before each scan: make sure that the next event will be noticed."""

    def seen(self, names: set[str]) -> None:
        """Called after each scan, with the names of all manifests that wait or are worked on."""

    def idle(self, idle: bool) -> None:
        """Called with true when there is nothing to do, and with false when there may be again."""

    def close(self) -> None:
        """Stop, and free everything."""


class FolderEvents(FileSystemEventHandler, Trigger):
    """File events of a folder, by watchdog."""

    def __init__(self, folder: Path, wake: threading.Event) -> None:
        self._folder, self._wake = folder, wake
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type not in ("opened", "closed_no_write"):
            self._wake.set()

    def refresh(self) -> None:
        # When the folder is removed, the emitter ends but the observer seems to be alive. A new folder of the
        # same name has another inode: compare what is watched with what is there.
        identity = self._identity()
        alive = self._observer is not None and all(e.is_alive() for e in self._observer.emitters)
        if alive and identity == self._watched:
            return
        self.close()
        if identity is None:
            return
        observer = Observer()
        observer.schedule(self, str(self._folder))
        try:
            observer.start()
        except OSError:
            return  # no inotify watch is left, or the folder is gone again; the regular scan goes on
        self._observer, self._watched = observer, identity

    def close(self) -> None:
        if self._observer is not None:
            self._observer.stop()
            self._observer.join(timeout=1)  # its threads do not always end
        self._observer = self._watched = None

    def _identity(self) -> tuple[int, int] | None:
        try:
            info = self._folder.stat()
        except OSError:
            return None
        return info.st_dev, info.st_ino


class Schedule:
    """A cron expression in local time, like `0 2 * * *`. Raises `UsageError` for anything else."""

    def __init__(self, expression: str, clock: Callable[[], datetime] = datetime.now) -> None:
        self._expression, self._clock = expression, clock
        try:
            self.next_after(clock())
        except CroniterError:
            raise UsageError(
                f"--schedule '{expression}' is no cron expression; five fields as in '0 2 * * *'"
            ) from None

    def next_after(self, now: datetime) -> datetime:
        """The next time it fires. Both are local time, so that summer time changes nothing."""
        following: datetime = croniter(self._expression, now).get_next(datetime)
        return following

    def seconds_left(self) -> float:
        """Seconds from now to the next time it fires."""
        now = self._clock()
        return max(0.0, self.next_after(now).timestamp() - now.timestamp())

    def wait(self, stop: threading.Event) -> None:
        """Wait until it fires, or for `stop`. Somebody may set the clock meanwhile."""
        earlier = self._clock()
        due = self.next_after(earlier)
        while (now := self._clock()) < due:
            if earlier - now > _SET_BACK:
                due = self.next_after(now)
            earlier = now
            if stop.wait(min(_LONGEST, max(_SHORTEST, (due - now).total_seconds()))):
                return
