"""Cancelling a manifest that waits, is worked on, or just ends."""

import json
import os
from pathlib import Path

import pytest

from pipeline.errors import ClaimLostError, Problem, UnavailableError, UsageError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.base import History
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.timing import Timing


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(FolderStore(tmp_path), Timing(settled=0.0))


def test_cancelling_a_waiting_manifest_moves_it_to_failed(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    inbox.cancel("a.json")
    assert inbox.status().failed == {"a": "cancelled by hand"}
    remedy = json.loads((tmp_path / "failed" / "a.error.json").read_text())["remedy"]
    assert remedy == f"to work on it again: nst-pipeline retry --inbox {tmp_path} a"
    inbox.retry("a")
    assert inbox.status().waiting == ["a"]


@pytest.mark.parametrize("failed_before", [False, True])
def test_cancelling_a_manifest_that_is_worked_on_ends_its_claim(
    inbox: Inbox, tmp_path: Path, failed_before: bool
) -> None:
    if failed_before:
        (tmp_path / "failed").mkdir()
        (tmp_path / "failed" / "a.json").write_text("older")
        (tmp_path / "failed" / "a.error.json").write_text('{"errors": []}')
    (tmp_path / "a.json").write_text("{}")
    claimed = inbox.claim("a")
    assert claimed
    assert claimed.lost() is None
    inbox.cancel("a")
    assert "was moved or deleted" in str(claimed.lost())
    for action in (claimed.confirm, claimed.complete):
        with pytest.raises(ClaimLostError, match="was moved or deleted"):
            action()
    claimed.drop()
    assert inbox.status().failed == {"a": "cancelled by hand"}
    assert (tmp_path / "failed" / "a.json").read_text() == "{}"
    assert {path.parent.name for path in tmp_path.rglob("*.json")} == {"failed"}


def test_what_is_cancelled_and_retried_is_not_hashed() -> None:
    store = MemoryStore("inbox")
    store.write("a.json", b"{}")
    Inbox(store).cancel("a")
    Inbox(store).retry("a")
    # In a folder, a tag is a digest of the whole file.
    assert "tag" not in {verb for verb, _ in store.calls}


def test_cancel_refuses_with_the_reason(inbox: Inbox, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a: no manifest of this name waits or is worked on"):
        inbox.cancel("a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("end", ["done", "failed"])
def test_a_manifest_that_ends_while_it_is_cancelled_is_not_lost(end: str) -> None:
    store = MemoryStore("cancelled")
    inbox = Inbox(store)
    store.write("a.json", b"{}")
    claimed = inbox.claim("a")
    assert claimed

    def end_first(verb: str, key: str) -> None:
        if (verb, key) == ("move", "processing/a.json"):
            store.before = lambda verb, key: None
            claimed.complete() if end == "done" else claimed.fail([Problem("", "bad")])

    store.before = end_first
    with pytest.raises(UsageError):
        inbox.cancel("a")
    status = inbox.status()
    assert (status.done, status.failed) == ((["a"], {}) if end == "done" else ([], {"a": "bad"}))


def test_a_manifest_that_is_cancelled_while_it_ends_is_not_lost(tmp_path: Path) -> None:
    class Slow(FolderStore):
        def rename(self, source: str, target: str) -> None:
            Inbox(FolderStore(tmp_path)).cancel("a")
            super().rename(source, target)

    (tmp_path / "a.json").write_text("{}")
    claim = FolderStore(tmp_path).claim("a.json", "processing/a.json")
    assert claim
    claim.release()
    store = Slow(tmp_path)
    (tmp_path / "processing" / "a.json").write_text("{}")
    (tmp_path / "a.json").unlink()
    claimed = Inbox(store).claim("a")  # claims it as abandoned, so it is not moved
    assert claimed
    with pytest.raises(ClaimLostError):
        claimed.complete()
    assert Inbox(FolderStore(tmp_path)).status().failed == {"a": "cancelled by hand"}


def test_a_manifest_whose_cancelling_did_not_end_is_shown_and_can_be_retried() -> None:
    store = MemoryStore("half-cancelled")
    store.write("a.json", b"{}")
    inbox = Inbox(store)
    held = inbox.claim("a")

    def die(verb: str, key: str) -> None:
        if verb == "write":
            raise ZeroDivisionError  # the process that cancels it is killed

    store.before = die
    with pytest.raises(ZeroDivisionError):
        inbox.cancel("a")
    store.before = lambda verb, key: None
    assert held and held.lost()
    assert inbox.status().failed == {"a": "cancelled by hand"}
    inbox.retry("a")
    assert inbox.status().waiting == ["a"]


def test_what_a_person_has_written_to_failed_is_kept_by_cancel(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert inbox.claim("a")
    (tmp_path / "failed").mkdir()
    (tmp_path / "failed" / "a.json").write_text("a correction")
    inbox.cancel("a")
    texts = {path.read_text() for path in (tmp_path / "failed").iterdir() if "error" not in path.name}
    assert texts == {"{}", "a correction"}


def test_what_a_person_has_corrected_in_failed_is_kept_by_cancel(tmp_path: Path) -> None:
    warnings = list[str]()
    inbox = Inbox(FolderStore(tmp_path), Timing(settled=0.0), warn=warnings.append)
    (tmp_path / "a.json").write_text("refused")
    refused = inbox.claim("a")
    assert refused
    refused.fail([Problem("", "no such image")])
    (tmp_path / "a.json").write_text("{}")
    assert inbox.claim("a")
    corrected = tmp_path / "failed" / "a.json"
    corrected.write_text("a correction")
    after = (tmp_path / "failed" / "a.error.json").stat().st_mtime + 1
    os.utime(corrected, (after, after))
    inbox.cancel("a")
    texts = {path.read_text() for path in (tmp_path / "failed").iterdir() if "error" not in path.name}
    assert texts == {"{}", "a correction"}
    (warning,) = warnings
    assert "was changed while a manifest of this name was worked on; it is kept as failed/a.kept-" in warning


def test_an_earlier_failure_is_replaced_by_cancel_each_time(tmp_path: Path) -> None:
    inbox = Inbox(FolderStore(tmp_path), Timing(settled=0.0))
    for text in ("first", "second"):
        (tmp_path / "a.json").write_text(text)
        os.utime(tmp_path / "a.json", (1, 1))
        claimed = inbox.claim("a")
        assert claimed
        inbox.cancel("a")
        claimed.drop()
    names = {path.name: path.read_text() for path in (tmp_path / "failed").iterdir()}
    assert set(names) == {"a.json", "a.error.json"}
    assert names["a.json"] == "second"


def test_a_manifest_that_can_not_be_cancelled_now_waits_as_before() -> None:
    def full(verb: str, key: str) -> None:
        if (verb, key) == ("write", "failed/a.error.json"):
            raise UnavailableError("the disk is full")

    store = MemoryStore("full")
    inbox = Inbox(store)
    store.write("a.json", b"{}")
    store.before = full
    with pytest.raises(UnavailableError):
        inbox.cancel("a")
    assert inbox.status().waiting == ["a"]
    claimed = inbox.claim("a")
    assert claimed and claimed.history == History()
