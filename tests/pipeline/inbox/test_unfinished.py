"""A manifest that is written slowly is refused for its syntax, and taken up again when it changes."""

import json
import os
from pathlib import Path

import pytest

from pipeline.errors import ManifestError, Problem
from pipeline.inbox.inbox import Inbox
from pipeline.manifest.reading import parse
from pipeline.stores.base import Entry
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.timing import Timing
from tests.conftest import make_png
from tests.pipeline.calling import Call

WHOLE = b'{"content": "a.png", "style": "\xc3\xa9.png"}'
AT_ONCE = Timing(settled=0.0, unfinished=0.0)


class Recording(FolderStore):
    """Remembers which folders were listed."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.listed: list[str] = []

    def entries(self, folder: str) -> list[Entry]:
        self.listed.append(folder)
        return super().entries(folder)


def opened(folder: Path, warnings: list[str] | None = None) -> Inbox:
    """A new runner's inbox."""
    heard = [] if warnings is None else warnings
    return Inbox(FolderStore(folder), AT_ONCE, warn=heard.append)


def work(inbox: Inbox) -> list[str]:
    """Scan, and read all manifests that are ready; those that are refused go to `failed/`, others stay."""
    names = [ready.name for ready in inbox.scan()]
    for name in names:
        claimed = inbox.claim(name)
        assert claimed
        try:
            parse(claimed.read())
            claimed.release()
        except ManifestError as error:
            claimed.fail(error.problems)
    return names


def failed(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "failed").glob("*.json"))


def write_half(folder: Path, length: int = 15) -> Path:
    """The first bytes of a manifest, which are refused; where they lie then."""
    (folder / "a.json").write_bytes(WHOLE[:length])
    work(opened(folder))
    assert failed(folder) == ["a.error.json", "a.json"]
    return folder / "failed" / "a.json"


@pytest.mark.parametrize("length", [1, 15, len(WHOLE) - 2, WHOLE.index(b"\xc3") + 1])
def test_a_manifest_that_its_writer_completes_in_failed_is_taken_up_again(
    tmp_path: Path, length: int
) -> None:
    warnings: list[str] = []
    inbox = opened(tmp_path, warnings)
    with (tmp_path / "a.json").open("wb", buffering=0) as file:
        file.write(WHOLE[:length])
        assert work(inbox) == ["a"]
        assert failed(tmp_path) == ["a.error.json", "a.json"]
        assert work(inbox) == []
        file.write(WHOLE[length:])
    assert work(inbox) == ["a"]
    assert failed(tmp_path) == []
    assert (tmp_path / "a.json").read_bytes() == WHOLE
    place = tmp_path / "failed" / "a.json"
    assert warnings == [f"{place}: was changed after it was refused; it is put back into the inbox"]


def test_a_manifest_that_pauses_several_times_is_taken_up_again_each_time(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    with (tmp_path / "a.json").open("wb", buffering=0) as file:
        for start in range(0, len(WHOLE) - 5, 5):
            file.write(WHOLE[start : start + 5])
            assert work(inbox) == ["a"]
            assert failed(tmp_path) == ["a.error.json", "a.json"]
        file.write(WHOLE[start + 5 :])
    assert work(inbox) == ["a"]
    assert failed(tmp_path) == []


def test_a_manifest_that_changed_while_no_runner_worked_is_taken_up_by_the_next_one(tmp_path: Path) -> None:
    write_half(tmp_path).write_bytes(WHOLE)
    assert work(opened(tmp_path)) == ["a"]
    assert failed(tmp_path) == []


def test_a_manifest_that_changes_after_the_next_runner_has_begun_is_taken_up(tmp_path: Path) -> None:
    place = write_half(tmp_path)
    inbox = opened(tmp_path)
    assert work(inbox) == []
    place.write_bytes(WHOLE)
    assert work(inbox) == ["a"]


def test_a_manifest_that_is_replaced_in_failed_by_an_older_file_is_taken_up(tmp_path: Path) -> None:
    place = write_half(tmp_path)
    inbox = opened(tmp_path)
    assert work(inbox) == []
    (tmp_path / "older").write_bytes(WHOLE)
    os.utime(tmp_path / "older", (1000, 1000))
    (tmp_path / "older").rename(place)
    assert work(inbox) == ["a"]


def test_a_manifest_that_does_not_change_stays_in_failed(tmp_path: Path) -> None:
    future = 4_000_000_000
    place = write_half(tmp_path)
    for _ in range(2):
        inbox = opened(tmp_path)
        for _ in range(3):
            assert work(inbox) == []
        os.utime(place, (future, future))  # the next runner finds a time that never passes


def test_what_failed_for_another_reason_stays_in_failed_though_it_changes(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(WHOLE)
    inbox = opened(tmp_path)
    inbox.scan()
    claimed = inbox.claim("a")
    assert claimed
    claimed.fail([Problem("", "a.png: no such file", "a-b")])
    (tmp_path / "failed" / "a.json").write_bytes(WHOLE + b"\n")
    for other in (inbox, opened(tmp_path)):
        assert work(other) == []
    assert failed(tmp_path) == ["a.error.json", "a.json"]


@pytest.mark.parametrize("errors", [b"", b"[]", b'{"errors": [5]}', b'{"errors": [{"message": 5}]}'])
def test_a_damaged_error_file_changes_nothing(tmp_path: Path, errors: bytes) -> None:
    place = write_half(tmp_path)
    (tmp_path / "failed" / "a.error.json").write_bytes(errors)
    place.write_bytes(WHOLE)
    assert work(opened(tmp_path)) == []


def test_a_manifest_of_the_same_name_that_waits_already_is_worked_on_instead(tmp_path: Path) -> None:
    place = write_half(tmp_path)
    (tmp_path / "a.json").write_bytes(WHOLE)
    place.write_bytes(b"{}")
    assert work(opened(tmp_path)) == ["a"]
    assert failed(tmp_path) == ["a.error.json", "a.json"]


def test_failed_is_listed_only_while_a_manifest_there_may_change(tmp_path: Path) -> None:
    store = Recording(tmp_path)
    inbox = Inbox(store, AT_ONCE)
    work(inbox)
    store.listed.clear()
    work(inbox)
    assert "failed" not in store.listed
    (tmp_path / "a.json").write_bytes(WHOLE[:15])
    work(inbox)
    work(inbox)
    assert "failed" in store.listed
    (tmp_path / "failed" / "a.json").write_bytes(WHOLE)
    work(inbox)
    (tmp_path / "a.json").unlink()
    work(inbox)
    store.listed.clear()
    work(inbox)
    assert "failed" not in store.listed


def test_a_store_whose_files_are_complete_at_once_is_never_asked() -> None:
    store = MemoryStore("unfinished")
    store.write("a.json", WHOLE[:15])
    inbox = Inbox(store, AT_ONCE)
    for _ in range(3):
        work(inbox)
    assert ("entries", "failed") not in store.calls


def test_watch_completes_a_manifest_that_was_written_with_a_pause(tmp_path: Path, call_fake: Call) -> None:
    inbox = tmp_path / "in"
    inbox.mkdir()
    for name in ("a.png", "é.png"):
        (inbox / name).write_bytes(make_png(32, 32))
    arguments = ("watch", "--once", "--inbox", inbox, "--outbox", tmp_path / "out")
    with (inbox / "a.json").open("wb", buffering=0) as file:
        file.write(WHOLE[:15])
        assert call_fake(*arguments)[0] == 1
        assert failed(inbox) == ["a.error.json", "a.json"]
        file.write(WHOLE[15:])
    code, text = call_fake(*arguments)
    assert code == 0
    assert (inbox / "done" / "a.json").read_bytes() == WHOLE
    assert failed(inbox) == []
    assert [line for line in map(json.loads, text.splitlines()) if "put back" in line["event"]]
