import errno
import shutil
import threading
from datetime import datetime
from pathlib import Path

import pytest
from watchdog.events import DirModifiedEvent, FileModifiedEvent, FileMovedEvent

from pipeline.errors import UsageError
from pipeline.inbox.triggers import FolderEvents, Schedule


def test_a_new_file_starts_a_scan(tmp_path: Path) -> None:
    wake = threading.Event()
    events = FolderEvents(tmp_path, wake)
    events.refresh()
    (tmp_path / "a.json").write_text("{}")
    assert wake.wait(30)
    events.close()


def test_a_folder_that_was_deleted_and_recreated_is_watched_again(tmp_path: Path) -> None:
    wake, folder = threading.Event(), tmp_path / "inbox"
    folder.mkdir()
    events = FolderEvents(folder, wake)
    events.refresh()
    shutil.rmtree(folder)
    events.refresh()
    folder.mkdir()
    events.refresh()
    wake.clear()
    (folder / "a.json").write_text("{}")
    assert wake.wait(30)
    events.close()


class Counted(threading.Event):
    """Counts how often it is set."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def set(self) -> None:
        self.count += 1
        super().set()


def write(events: FolderEvents, *names: str) -> None:
    """Report that files have grown, as watchdog does, a thousand times each."""
    for name in names * 1000:
        events.on_any_event(FileModifiedEvent(f"/inbox/{name}"))


def test_a_folder_that_can_not_be_watched_is_scanned_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    with monkeypatch.context() as patch:
        patch.setattr("watchdog.observers.api.BaseObserver.schedule", refuse)
        events = FolderEvents(tmp_path, wake := threading.Event())
        events.refresh()
    events.refresh()  # once the limit is not reached any more
    (tmp_path / "a.json").write_text("{}")
    assert wake.wait(30)
    events.close()


def test_files_that_are_no_manifests_wake_nobody(tmp_path: Path) -> None:
    wake = Counted()
    events = FolderEvents(tmp_path, wake)
    write(events, "film.mp4", "a.png", ".hidden.json", "a.error.json", ".json")
    events.on_any_event(DirModifiedEvent(str(tmp_path)))
    events.on_any_event(FileMovedEvent("/inbox/.a.part", "/inbox/a.png"))
    assert wake.count == 0
    events.on_any_event(FileMovedEvent("/inbox/.a.part", "/inbox/a.json"))
    assert wake.count == 1


def test_a_schedule_gives_the_next_time() -> None:
    schedule = Schedule("0 2 * * *")
    assert schedule.next_after(datetime(2026, 3, 28, 1, 59)) == datetime(2026, 3, 28, 2)
    assert schedule.next_after(datetime(2026, 3, 28, 2)) == datetime(2026, 3, 29, 2)
    assert 0 <= schedule.seconds_left() <= 25 * 3600


class SetClock(threading.Event):
    """A clock that shows the next of some times at each call, and an event whose `wait` returns at once."""

    def __init__(self, *times: datetime) -> None:
        super().__init__()
        self.times, self.waited = list(times), list[float]()

    def now(self) -> datetime:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]

    def wait(self, timeout: float | None = None) -> bool:
        self.waited.append(timeout or 0.0)
        return len(self.waited) > 100


def test_a_schedule_is_on_time_after_the_clock_is_set_ahead() -> None:
    clock = SetClock(*[datetime(2026, 3, 1, 1, 0)] * 4, datetime(2026, 3, 2, 1, 0))
    Schedule("0 2 * * *", clock.now).wait(clock)
    assert len(clock.waited) == 2
    assert max(clock.waited) <= 60


def test_a_schedule_is_not_a_day_late_after_the_clock_is_set_back() -> None:
    clock = SetClock(
        *[datetime(2026, 3, 2, 1, 0)] * 3, datetime(2026, 3, 1, 1, 0), datetime(2026, 3, 1, 2, 0)
    )
    Schedule("0 2 * * *", clock.now).wait(clock)
    assert len(clock.waited) == 2


@pytest.mark.parametrize("expression", ["", "2 o'clock", "61 * * * *", "* * *", "0 0 30 2 *"])
def test_an_invalid_cron_expression_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="is no cron expression"):
        Schedule(expression)
