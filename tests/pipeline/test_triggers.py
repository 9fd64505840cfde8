import shutil
import threading
from datetime import datetime
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.triggers import FolderEvents, Schedule


def test_a_new_file_wakes(tmp_path: Path) -> None:
    wake = threading.Event()
    events = FolderEvents(tmp_path, wake)
    events.refresh()
    (tmp_path / "a.json").write_text("{}")
    assert wake.wait(30)
    events.close()


def test_a_folder_made_anew_is_watched_again(tmp_path: Path) -> None:
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


def test_a_schedule_fires_at_its_time() -> None:
    schedule = Schedule("0 2 * * *")
    assert schedule.next_after(datetime(2026, 3, 28, 1, 59)) == datetime(2026, 3, 28, 2)
    assert schedule.next_after(datetime(2026, 3, 28, 2)) == datetime(2026, 3, 29, 2)
    assert 0 <= schedule.seconds_left() <= 25 * 3600


@pytest.mark.parametrize("expression", ["", "2 o'clock", "61 * * * *", "* * *", "0 0 30 2 *"])
def test_what_is_no_schedule_is_told(expression: str) -> None:
    with pytest.raises(UsageError, match="is no cron expression"):
        Schedule(expression)
