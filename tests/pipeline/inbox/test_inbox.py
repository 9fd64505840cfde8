import json
from pathlib import Path

import pytest

from pipeline.errors import Problem, StoreError, UsageError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.folder import FolderStore


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def inbox(tmp_path: Path, clock: Clock) -> Inbox:
    return Inbox(FolderStore(tmp_path), clock)


def settled(inbox: Inbox, clock: Clock) -> list[str]:
    inbox.scan()
    clock.now += 1
    return inbox.scan()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name[0] != ".")


def test_a_file_counts_only_once_it_rests(inbox: Inbox, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"content":')
    assert settled(inbox, clock) == []
    assert inbox.settling
    (tmp_path / "a.json").write_text('{"content": "x"}')
    assert inbox.scan() == []
    clock.now += 0.9
    assert inbox.scan() == []
    clock.now += 0.2
    assert inbox.scan() == ["a"]
    assert not inbox.settling


def test_what_looks_unfinished_is_given_more_time(inbox: Inbox, clock: Clock, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"content":')
    assert settled(inbox, clock) == []
    clock.now += 5
    assert inbox.scan() == ["a"]


def test_empty_placeholders_and_other_files_are_left_alone(
    inbox: Inbox, clock: Clock, tmp_path: Path
) -> None:
    for name in ("empty.json", "b.txt", ".hidden.json"):
        (tmp_path / name).write_text("" if name == "empty.json" else "{}")
    (tmp_path / "folder.json").mkdir()
    assert settled(inbox, clock) == []
    assert not inbox.settling


def test_done(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    assert inbox.claim("a") is None
    assert inbox.status().processing == ["a"]
    assert claimed.read() == b"{}"
    claimed.complete()
    assert inbox.status().done == ["a"]
    assert names(tmp_path / "processing") == []


def test_failed_and_retried(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    claimed.fail([Problem("pairs[3]", "cat.jpg: no such file", "cat-waves")])
    assert names(tmp_path / "failed") == ["a.error.json", "a.json"]
    errors = json.loads((tmp_path / "failed" / "a.error.json").read_text())
    assert errors["errors"] == [{"place": "pairs[3]", "message": "cat.jpg: no such file", "id": "cat-waves"}]
    assert inbox.status().failed == {"a": "pairs[3]: cat.jpg: no such file"}
    inbox.retry("a.json")
    assert inbox.status().waiting == ["a"]
    assert names(tmp_path / "failed") == []


@pytest.mark.parametrize("name", ["n" * 250, "ü" * 125])
def test_the_longest_name_a_file_can_have_fails_is_retried_and_done(
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


def test_a_corrected_manifest_clears_its_failure(inbox: Inbox, tmp_path: Path) -> None:
    for ending in ("fail", "complete"):
        (tmp_path / "a.json").write_text("{}")
        claimed = inbox.claim("a")
        assert claimed
        claimed.fail([Problem("", "bad")]) if ending == "fail" else claimed.complete()
    assert inbox.status().failed == {}
    assert inbox.status().done == ["a"]


def test_handed_back(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    claimed.release()
    assert inbox.status().waiting == ["a"]
    assert inbox.claim("a")


def test_handing_back_never_covers_a_newer_manifest(inbox: Inbox, tmp_path: Path) -> None:
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


def test_what_can_not_be_set_aside_is_handed_back(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / "failed").write_text("a file, where a folder is needed")
    claimed = inbox.claim("a")
    assert claimed
    with pytest.raises(StoreError, match="failed"):
        claimed.fail([Problem("", "bad")])
    heir = inbox.claim("a")
    assert heir
    claimed.release()  # comes late, and must not take it away from its new holder
    assert names(tmp_path / "processing") == ["a.json"]


def test_what_a_dead_runner_left_is_found(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "processing").mkdir()
    (tmp_path / "processing" / "a.json").write_text("{}")
    assert inbox.scan() == ["a"]
    assert inbox.claim("a")


def test_retry_says_why_it_can_not(inbox: Inbox, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="b: no failed manifest of this name"):
        inbox.retry("b")
    (tmp_path / "failed").mkdir()
    for folder in ("", "failed"):
        (tmp_path / folder / "b.json").write_text("{}")
    with pytest.raises(UsageError, match="waiting already"):
        inbox.retry("b")
