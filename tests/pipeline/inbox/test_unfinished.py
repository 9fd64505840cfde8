"""A manifest that is written slowly is refused for its syntax, and taken up again when it changes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ManifestError, Problem, StoreError, UnavailableError
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


def test_failed_is_listed_once(tmp_path: Path) -> None:
    write_half(tmp_path)
    store = Recording(tmp_path)
    inbox = Inbox(store, AT_ONCE)
    work(inbox)
    assert store.listed.count("failed") == 1
    (tmp_path / "b.json").write_bytes(WHOLE[:15])
    for _ in range(3):
        work(inbox)
    for name in ("a", "b"):
        (tmp_path / "failed" / f"{name}.json").write_bytes(WHOLE)
    assert work(inbox) == ["a", "b"]
    assert store.listed.count("failed") == 1


def test_a_manifest_is_watched_for_a_limited_time_after_its_last_change(tmp_path: Path) -> None:
    now = [0.0]
    inbox = Inbox(FolderStore(tmp_path), AT_ONCE, clock=lambda: now[0])
    place = tmp_path / "failed" / "a.json"
    (tmp_path / "a.json").write_bytes(WHOLE[:15])
    work(inbox)
    for length in (16, 17):  # each change comes in time, and begins the hour anew
        now[0] += AT_ONCE.refused - 1
        place.write_bytes(WHOLE[:length])
        assert work(inbox) == ["a"]
    now[0] += AT_ONCE.refused
    place.write_bytes(WHOLE)
    assert work(inbox) == []


def test_the_latest_of_very_many_refused_manifests_are_watched(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    names = [f"m{number:03}" for number in range(150)]
    for name in names:
        (tmp_path / f"{name}.json").write_bytes(WHOLE[:15])
    assert work(inbox) == names
    for name in names:
        (tmp_path / "failed" / f"{name}.json").write_bytes(WHOLE)
    taken_up = work(inbox)
    assert len(taken_up) == 100
    assert taken_up == names[50:]


def cancel(inbox: Inbox, folder: Path) -> None:
    """Cancel "a" as another process does, while this runner works on it."""
    claimed = inbox.claim("a")
    assert claimed
    Inbox(FolderStore(folder)).cancel("a")
    assert claimed.lost()
    claimed.drop()


def cancel_waiting(inbox: Inbox, folder: Path) -> None:
    Inbox(FolderStore(folder)).cancel("a")


def fail_for_an_image(inbox: Inbox, folder: Path) -> None:
    claimed = inbox.claim("a")
    assert claimed
    claimed.fail([Problem("", "a.png: no such file", "a-b")])


def fail_elsewhere(inbox: Inbox, folder: Path) -> None:
    fail_for_an_image(opened(folder), folder)


@pytest.mark.parametrize("end", [cancel, cancel_waiting, fail_for_an_image, fail_elsewhere])
def test_a_later_manifest_that_is_cancelled_or_fails_otherwise_stays_in_failed(
    tmp_path: Path, end: Callable[[Inbox, Path], None]
) -> None:
    inbox = opened(tmp_path)
    (tmp_path / "a.json").write_bytes(WHOLE[:15])
    work(inbox)
    (tmp_path / "a.json").write_bytes(WHOLE)
    assert [ready.name for ready in inbox.scan()] == ["a"]
    end(inbox, tmp_path)
    for _ in range(2):
        assert work(inbox) == []
    assert failed(tmp_path) == ["a.error.json", "a.json"]
    (tmp_path / "failed" / "a.json").write_bytes(WHOLE + b"\n")
    assert work(inbox) == []


def test_a_later_manifest_that_another_runner_refuses_stays_in_failed_until_it_changes(
    tmp_path: Path,
) -> None:
    inbox = opened(tmp_path)
    (tmp_path / "a.json").write_bytes(WHOLE[:15])
    work(inbox)
    assert work(inbox) == []
    (tmp_path / "a.json").write_bytes(WHOLE[:20])
    assert work(opened(tmp_path)) == ["a"]
    assert work(inbox) == []
    (tmp_path / "failed" / "a.json").write_bytes(WHOLE)
    assert work(inbox) == ["a"]


class Refusing(FolderStore):
    """Moves nothing out of `failed/`, like a folder in which other people's files must not be moved."""

    error: type[StoreError] = StoreError

    def move(self, source: str, target: str) -> None:
        if source.startswith("failed/"):
            raise self.error(f"{source}: no permission; check its owner and mode")
        super().move(source, target)


@pytest.mark.parametrize("error", [StoreError, UnavailableError])
def test_a_manifest_that_can_not_be_put_back_is_reported_once_and_stops_no_other(
    tmp_path: Path, error: type[StoreError]
) -> None:
    write_half(tmp_path).write_bytes(WHOLE)
    (tmp_path / "good.json").write_bytes(WHOLE)
    warnings: list[str] = []
    store = Refusing(tmp_path)
    store.error = error
    inbox = Inbox(store, AT_ONCE, warn=warnings.append)
    for _ in range(3):
        assert work(inbox) == ["good"]
    (warning,) = warnings
    assert "failed/a.json: no permission; check its owner and mode;" in warning
    assert "changes of failed/a.json are not taken up" in warning


def test_a_manifest_that_can_not_be_put_back_for_a_while_is_put_back_afterwards(tmp_path: Path) -> None:
    write_half(tmp_path).write_bytes(WHOLE)
    full = [True]

    class Full(FolderStore):
        def move(self, source: str, target: str) -> None:
            if full[0]:
                raise UnavailableError(f"{target}: the disk is full; make room")
            super().move(source, target)

    inbox = Inbox(Full(tmp_path), AT_ONCE)
    assert inbox.scan() == []
    full[0] = False
    assert work(inbox) == ["a"]


def save(folder: Path, content: bytes) -> None:
    """Save a correction in `failed/`, as an editor does that writes a new file."""
    (folder / "new").write_bytes(content)
    (folder / "new").rename(folder / "failed" / "a.json")


def refused_again(folder: Path) -> Inbox:
    """A runner that has put a first correction back into the inbox; it waits there."""
    inbox = opened(folder)
    (folder / "a.json").write_bytes(WHOLE[:15])
    work(inbox)
    save(folder, WHOLE)
    assert [ready.name for ready in inbox.scan()] == ["a"]
    return inbox


def test_a_correction_in_failed_that_is_saved_again_is_worked_on_afterwards(tmp_path: Path) -> None:
    inbox = refused_again(tmp_path)
    save(tmp_path, WHOLE + b"\n")
    first = inbox.claim("a")
    assert first and first.read() == WHOLE
    save(tmp_path, WHOLE + b"\n\n")
    first.complete()
    assert [ready.name for ready in inbox.scan()] == ["a"]
    second = inbox.claim("a")
    assert second and second.read() == WHOLE + b"\n\n"
    second.complete()
    assert failed(tmp_path) == []


@pytest.mark.parametrize("before_claim", [False, True])
def test_what_a_person_saves_in_failed_is_kept_by_a_runner_that_does_not_watch_it(
    tmp_path: Path, before_claim: bool
) -> None:
    refused_again(tmp_path)
    other = opened(tmp_path)
    if before_claim:
        save(tmp_path, b"better")
    claimed = other.claim("a")
    assert claimed
    if not before_claim:
        save(tmp_path, b"better")
    claimed.complete()
    assert (tmp_path / "failed" / "a.json").read_bytes() == b"better"
    assert (tmp_path / "done" / "a.json").read_bytes() == WHOLE


def test_a_failed_manifest_that_is_edited_while_a_later_one_is_worked_on_is_kept(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    (tmp_path / "a.json").write_bytes(WHOLE)
    fail_for_an_image(inbox, tmp_path)
    (tmp_path / "a.json").write_bytes(WHOLE)
    claimed = inbox.claim("a")
    assert claimed
    save(tmp_path, b"edited")
    claimed.complete()
    assert (tmp_path / "failed" / "a.json").read_bytes() == b"edited"
    assert failed(tmp_path) == ["a.error.json", "a.json"]


def test_an_earlier_failure_is_deleted_when_a_later_manifest_is_done(tmp_path: Path) -> None:
    inbox = opened(tmp_path)
    for end in (fail_for_an_image, cancel):
        (tmp_path / "a.json").write_bytes(WHOLE)
        end(inbox, tmp_path)
        assert failed(tmp_path) == ["a.error.json", "a.json"]
        (tmp_path / "a.json").write_bytes(WHOLE)
        claimed = inbox.claim("a")
        assert claimed
        claimed.complete()
        assert failed(tmp_path) == []


def test_what_a_person_saves_in_failed_is_not_replaced_by_a_failure(tmp_path: Path) -> None:
    warnings: list[str] = []
    inbox = opened(tmp_path, warnings)
    (tmp_path / "a.json").write_bytes(WHOLE[:15])
    work(inbox)
    save(tmp_path, WHOLE)
    inbox.scan()
    claimed = inbox.claim("a")
    assert claimed
    save(tmp_path, b"second")
    inbox.scan()
    assert (tmp_path / "a.json").read_bytes() == b"second"
    save(tmp_path, b"third")
    claimed.fail([Problem("", "a.png: no such file", "a-b")])
    kept, error, manifest = sorted(failed(tmp_path), key=lambda name: "kept" not in name)
    assert (error, manifest) == ("a.error.json", "a.json")
    assert (tmp_path / "failed" / kept).read_bytes() == b"third"
    assert warnings[-1].endswith(f"was worked on; it is kept as failed/{kept}")
    (tmp_path / "a.json").unlink()
    inbox.retry(kept)
    assert [ready.name for ready in inbox.scan()] == [kept.removesuffix(".json")]


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
