"""Triggers start a scan of the inbox early. A lost event only delays work, because scans are also regular."""

import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from croniter import CroniterError, croniter
from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from pipeline.errors import UsageError
from pipeline.inbox.layout import is_manifest

_LONGEST_WAIT, _SHORTEST_WAIT = 60.0, 0.01  # seconds between two checks of the clock
_SET_BACK = timedelta(hours=2)  # a person has set the clock back; the end of summer time does so by 1 hour

# When it is stopped, watchdog logs an error on a line that is not JSON.
for _name in ("watchdog", "fsevents"):
    logging.getLogger(_name).setLevel(logging.CRITICAL + 1)


class Trigger:
    """Starts a scan of the inbox early. This base class never does; then there are only regular scans."""

    @property
    def pending(self) -> bool:
        """Whether it needs more scans soon, to learn which manifests have ended."""
        return False

    @property
    def longest_interval(self) -> float | None:
        """Maximum of seconds between two scans while nothing happens; `None`: that of the inbox's store."""
        return None

    def refresh(self) -> None:
        """Called before each scan. Starts watching again if it has ended, so that no later event is lost."""

    def seen(self, names: set[str]) -> None:
        """Called after each scan with the names of all manifests that wait or are processed."""

    def collect(self) -> bool:
        """Called at the end of the work: receive some of the events that wait and that no other runner has.

        Returns whether there were any. The scans that follow show which of their manifests have ended.
        """
        return False

    def idle(self, idle: bool) -> None:
        """Called with true when there is no work, and with false when there may be work again."""

    def close(self) -> None:
        """Stop watching and free all resources."""


class FolderEvents(FileSystemEventHandler, Trigger):
    """Sets `wake` at file events of manifests in a folder, with watchdog. A file that grows has many."""

    def __init__(self, folder: Path, wake: threading.Event) -> None:
        self._folder, self._wake = folder, wake
        self._observer: BaseObserver | None = None
        self._watched: tuple[int, int] | None = None

    def on_any_event(self, event: FileSystemEvent) -> None:
        if event.event_type in ("opened", "closed_no_write"):
            return
        names = {os.path.basename(os.fsdecode(path)) for path in (event.src_path, event.dest_path)}
        if any(map(is_manifest, names)):
            self._wake.set()

    def refresh(self) -> None:
        # When the folder is removed, the emitter thread ends but the observer thread stays alive. A new
        # folder of the same name has another inode. So check the emitters, and compare device and inode.
        identity = self._identity()
        alive = self._observer is not None and all(e.is_alive() for e in self._observer.emitters)
        if alive and identity == self._watched:
            return
        self.close()
        if identity is None:
            return
        observer = Observer()
        try:
            observer.schedule(self, str(self._folder))
            observer.start()
        except OSError:
            return  # a limit of inotify is reached, or the folder is gone; regular scans continue
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
                f"--schedule '{expression}' is no cron expression; give five fields, as in '0 2 * * *'"
            ) from None

    def next_after(self, now: datetime) -> datetime:
        """The first scheduled time after `now`. Both are local times, as in the cron expression."""
        following: datetime = croniter(self._expression, now).get_next(datetime)
        return following

    def seconds_left(self) -> float:
        """Seconds from now to the next scheduled time."""
        now = self._clock()
        return max(0.0, self.next_after(now).timestamp() - now.timestamp())

    def wait(self, stop: threading.Event) -> None:
        """Wait until the next scheduled time, or until `stop` is set.

        The clock is checked at least every minute, because somebody may set it meanwhile.
        """
        earlier = self._clock()
        due = self.next_after(earlier)
        while (now := self._clock()) < due:
            if earlier - now > _SET_BACK:
                due = self.next_after(now)
            earlier = now
            if stop.wait(min(_LONGEST_WAIT, max(_SHORTEST_WAIT, (due - now).total_seconds()))):
                return
