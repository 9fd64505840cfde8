import json
import os
from pathlib import Path

import pytest

from pipeline.errors import Problem, StoreError, UnavailableError, UsageError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.timing import Timing


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(tmp_path: Path, clock: Clock) -> Inbox:
    return Inbox(FolderStore(tmp_path), clock=clock)


def scanned(inbox: Inbox) -> list[str]:
    """Scan; the names of the manifests to claim, in the order of claiming."""
    return [ready.name for ready in inbox.scan()]


def settled(inbox: Inbox, clock: Clock) -> list[str]:
    """Scan, and scan again after files have not changed for a second."""
    inbox.scan()
    clock.now += 1
    return scanned(inbox)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def test_a_file_is_ready_when_it_has_not_changed_for_a_second(
    inbox: Inbox, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"content":')
    assert settled(inbox, clock) == []
    assert inbox.settling
    (tmp_path / "a.json").write_text('{"content": "x"}')
    assert scanned(inbox) == []
    clock.now += 0.9
    assert scanned(inbox) == []
    clock.now += 0.2
    assert scanned(inbox) == ["a"]
    assert not inbox.settling


def test_a_file_that_is_not_valid_json_is_ready_after_a_longer_time(
    inbox: Inbox, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_text('{"content":')
    assert settled(inbox, clock) == []
    clock.now += 5
    assert scanned(inbox) == ["a"]


def test_empty_files_and_files_that_are_no_manifests_are_ignored(
    inbox: Inbox, clock: Clock, tmp_path: Path
) -> None:
    for name in ("empty.json", "b.txt", ".hidden.json"):
        (tmp_path / name).write_text("" if name == "empty.json" else "{}")
    (tmp_path / "folder.json").mkdir()
    assert settled(inbox, clock) == []
    assert not inbox.settling


def test_a_completed_manifest_is_moved_to_done(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    assert inbox.claim("a") is None
    assert inbox.status().processing == ["a"]
    assert claimed.read() == b"{}"
    claimed.complete()
    assert inbox.status().done == ["a"]
    assert names(tmp_path / "processing") == []


def test_a_failed_manifest_has_an_error_file_and_can_be_retried(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    claimed.fail([Problem("pairs[3]", "cat.jpg: no such file", "cat-waves")])
    assert names(tmp_path / "failed") == ["a.error.json", "a.json"]
    errors = json.loads((tmp_path / "failed" / "a.error.json").read_text())
    assert errors["errors"] == [{"place": "pairs[3]", "message": "cat.jpg: no such file", "id": "cat-waves"}]
    assert inbox.status().failed == {"a": "pairs[3] (cat-waves): cat.jpg: no such file"}
    inbox.retry("a.json")
    assert inbox.status().waiting == ["a"]
    assert names(tmp_path / "failed") == []


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 125])
def test_a_manifest_with_the_longest_possible_name_can_fail_be_retried_and_be_done(
    inbox: Inbox, tmp_path: Path, name: str
) -> None:
    (tmp_path / f"{name}.json").write_text("{}")
    claimed = inbox.claim(name)
    assert claimed
    claimed.fail([Problem("", "bad")])
    assert inbox.status().failed == {name: "bad"}
    inbox.retry(name)
    assert names(tmp_path / "failed") == []
    claimed = inbox.claim(name)
    assert claimed
    claimed.complete()
    assert inbox.status().done == [name]


def test_status_says_that_an_error_file_is_missing_damaged_or_too_large(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "failed").mkdir()
    for name in ("missing", "damaged", "large"):
        (tmp_path / "failed" / f"{name}.json").write_text("{}")
    (tmp_path / "failed" / "damaged.error.json").write_text("{")
    with (tmp_path / "failed" / "large.error.json").open("wb") as file:
        file.truncate(2**26)
    failed = inbox.status().failed
    assert failed["missing"] == "no error file beside it"
    assert failed["damaged"] == "the error file is damaged; retry the manifest to see what is wrong"
    assert failed["large"].startswith(f"{tmp_path}/failed/large.error.json: has ")


def test_a_completed_manifest_replaces_its_earlier_failure(inbox: Inbox, tmp_path: Path) -> None:
    for ending in ("fail", "complete"):
        (tmp_path / "a.json").write_text("{}")
        claimed = inbox.claim("a")
        assert claimed
        claimed.fail([Problem("", "bad")]) if ending == "fail" else claimed.complete()
    assert inbox.status().failed == {}
    assert inbox.status().done == ["a"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_completed_manifest_replaces_its_earlier_failure_in_spite_of_a_fault(
    tmp_path: Path, number: int
) -> None:
    class Faulty(FolderStore):
        left = 0  # removals until one fails

        def remove(self, key: str, seen: str | None = None) -> None:
            self.left -= 1
            if not self.left:
                raise UnavailableError("the folder does not answer")
            super().remove(key, seen)

    store = Faulty(tmp_path)
    inbox = Inbox(store)
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    claimed.fail([Problem("", "bad")])
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    store.left = number
    with pytest.raises(UnavailableError):
        claimed.complete()
    claimed.complete()
    assert names(tmp_path / "failed") == []
    assert inbox.status().done == ["a"]


def test_a_released_manifest_waits_again(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    claimed.release()
    assert inbox.status().waiting == ["a"]
    assert inbox.claim("a")


def test_releasing_a_manifest_never_overwrites_a_newer_one(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"old": 1}')
    claimed = inbox.claim("a")
    assert claimed
    (tmp_path / "a.json").write_text('{"new": 1}')
    claimed.release()
    first = inbox.claim("a")
    assert first
    assert first.read() == b'{"old": 1}'
    first.complete()
    second = inbox.claim("a")
    assert second
    assert second.read() == b'{"new": 1}'


def test_a_manifest_that_cannot_be_moved_to_failed_is_handed_back(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "failed").write_text("a file, where a folder is needed")
    claimed = inbox.claim("a")
    assert claimed
    with pytest.raises(StoreError, match="failed"):
        claimed.fail([Problem("", "bad")])
    second = inbox.claim("a")
    assert second
    claimed.release()  # comes too late, and must not end the claim of the second runner
    assert names(tmp_path / "processing") == ["a.json"]


def test_a_manifest_that_a_dead_runner_left_in_processing_is_found(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "processing").mkdir()
    (tmp_path / "processing" / "a.json").write_text("{}")
    assert scanned(inbox) == ["a"]
    assert inbox.claim("a")


def test_retry_refuses_with_the_reason(inbox: Inbox, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="b: no failed manifest of this name"):
        inbox.retry("b")
    (tmp_path / "failed").mkdir()
    for folder in ("", "failed"):
        (tmp_path / folder / "b.json").write_text("{}")
    with pytest.raises(UsageError, match="waiting already"):
        inbox.retry("b")


def test_manifests_are_ordered_by_priority_then_age_then_name(
    inbox: Inbox, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "processing").mkdir()
    for age, (name, priority) in enumerate((("d", 0), ("c", -100), ("b", 0), ("a", 7), ("processing/e", 0))):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({"content": "x", "style": "y", "priority": priority}))
        os.utime(path, (1000 + age, 1000 + age))
    (tmp_path / "z.json").write_text("not JSON")
    os.utime(tmp_path / "z.json", (1000, 1000))
    assert settled(inbox, clock) == ["a", "e", "d", "b", "c"]
    clock.now += 5
    assert scanned(inbox) == ["a", "e", "d", "z", "b", "c"]


def test_priorities_of_the_newest_manifests_are_read_first_and_the_others_in_later_scans(
    tmp_path: Path,
) -> None:
    store = MemoryStore("priorities")
    inbox = Inbox(store, Timing(priorities=0.0))
    for name in ("a", "b", "c"):
        store.write(f"{name}.json", b'{"priority": 1}')

    def read() -> list[str]:
        return [key for verb, key in store.calls if verb == "read"]

    assert scanned(inbox) == ["a", "b", "c"]
    assert read() == []
    inbox = Inbox(store)
    assert {ready.priority for ready in inbox.scan()} == {1}
    assert read() == ["c.json", "b.json", "a.json"]
    inbox.scan()
    assert len(read()) == 3  # an unchanged manifest is not read again
    store.write("b.json", b'{"priority": 5}')
    assert scanned(inbox)[0] == "b"


def test_a_request_of_the_door_is_ready_as_soon_as_it_is_whole(inbox: Inbox, tmp_path: Path) -> None:
    name = f"request-{'0' * 32}"
    (tmp_path / f"{name}.json").write_text('{"content":')
    assert scanned(inbox) == []
    assert inbox.settling
    (tmp_path / f"{name}.json").write_text('{"content": "x"}')
    (tmp_path / "other.json").write_text('{"content": "x"}')
    assert scanned(inbox) == [name]


@pytest.mark.parametrize("text", ['{"content": "x"}', '{"content":'])
def test_an_unchanged_file_is_read_once_to_see_whether_it_is_whole(clock: Clock, text: str) -> None:
    store = MemoryStore("inbox")
    store.atomic = False
    inbox = Inbox(store, clock=clock)
    names = [f"request-{'0' * 32}", "other"]
    for name in names:
        store.write(f"{name}.json", text.encode())
    for _ in range(16):
        inbox.scan()
        clock.now += 0.25
    read = [key for verb, key in store.calls if verb == "read"]
    # Each that is ready is read once more, for its priority.
    assert sorted(read) == sorted(f"{name}.json" for name in names * (2 if text.endswith("}") else 1))
