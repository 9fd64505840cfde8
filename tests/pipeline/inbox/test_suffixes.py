"""A manifest may be called NAME.JSON, in a folder and in a bucket, through its whole life."""

from pathlib import Path
from uuid import uuid4

import pytest

from pipeline.errors import Problem, UsageError
from pipeline.inbox.inbox import Inbox, Status
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.pipeline.calling import Call

SETTLED = Timing(settled=0.0)
FOLDERS = ("", "processing/", "done/", "failed/")


@pytest.fixture(params=["folder", "memory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return FolderStore(tmp_path)
    if request.param == "memory":
        return MemoryStore(uuid4().hex)
    return S3Store("s3://bucket/in", request.getfixturevalue("client"))


@pytest.fixture
def inbox(store: Store) -> Inbox:
    return Inbox(store, SETTLED)


def status(store: Store) -> Status:
    return Inbox(store).status()


def files(store: Store) -> list[str]:
    return [folder + entry.name for folder in FOLDERS for entry in store.entries(folder.rstrip("/"))]


@pytest.mark.parametrize("suffix", ["JSON", "Json"])
def test_a_manifest_with_another_suffix_is_found_claimed_and_done(
    store: Store, inbox: Inbox, suffix: str
) -> None:
    store.write(f"A.{suffix}", b'{"priority": 7}')
    assert [(ready.name, ready.priority) for ready in inbox.scan()] == [("A", 7)]
    assert status(store).waiting == ["A"]
    claimed = inbox.claim("A")
    assert claimed and claimed.read() == b'{"priority": 7}'
    assert status(store).processing == ["A"]
    claimed.complete()
    assert status(store).done == ["A"]
    assert files(store) == ["done/A.json"]


def test_it_fails_and_is_retried_and_handed_back(store: Store, inbox: Inbox) -> None:
    store.write("A.JSON", b"{}")
    inbox.scan()
    claimed = inbox.claim("A")
    assert claimed
    claimed.release()
    assert files(store) == ["A.JSON"]
    inbox.scan()
    claimed = inbox.claim("A")
    assert claimed
    claimed.fail([Problem("", "bad")])
    assert status(store).failed == {"A": "bad"}
    Inbox(store).retry("A.JSON")
    assert files(store) == ["A.json"]


@pytest.mark.parametrize("name", ["A", "A.JSON", "A.json"])
def test_it_can_be_cancelled_while_it_waits_and_while_it_is_worked_on(
    store: Store, inbox: Inbox, name: str
) -> None:
    store.write("A.JSON", b"{}")
    Inbox(store).cancel(name)
    assert status(store).failed == {"A": "cancelled by hand"}
    store.write("A.JSON", b"{}")
    inbox.scan()
    claimed = inbox.claim("A")
    assert claimed
    Inbox(store).cancel(name)
    assert claimed.lost()
    claimed.drop()
    assert status(store) == Status([], [], [], {"A": "cancelled by hand"})


def test_files_that_a_person_has_put_into_the_folders_are_found(store: Store, inbox: Inbox) -> None:
    for folder in FOLDERS:
        store.write(f"{folder}{folder.rstrip('/') or 'top'}.JSON", b"{}")
    found = status(store)
    assert (found.waiting, found.processing, found.done) == (["top"], ["processing"], ["done"])
    assert found.failed == {"failed": "no error file beside it"}
    assert [ready.name for ready in inbox.scan()] == ["processing", "top"]
    claimed = inbox.claim("processing")
    assert claimed
    claimed.complete()
    Inbox(store).retry("failed")
    assert files(store) == ["failed.json", "top.JSON", "done/done.JSON", "done/processing.json"]


def test_two_manifests_of_one_name_are_worked_on_one_after_the_other(store: Store, inbox: Inbox) -> None:
    store.write("a.JSON", b'{"n": 2}')
    store.write("a.json", b'{"n": 1}')
    for expected in (b'{"n": 1}', b'{"n": 2}'):
        assert [ready.name for ready in inbox.scan()] == ["a"]
        claimed = inbox.claim("a")
        assert claimed and claimed.read() == expected
        claimed.complete()
    assert files(store) == ["done/a.json"]


def test_retry_refuses_while_one_of_the_same_name_waits(store: Store) -> None:
    store.write("a.JSON", b"{}")
    store.write("failed/a.json", b"{}")
    with pytest.raises(UsageError, match="a: a manifest of this name is waiting already"):
        Inbox(store).retry("a")


def test_error_files_are_no_manifests_whatever_their_letter_case(store: Store, inbox: Inbox) -> None:
    for name in ("a.error.json", "a.ERROR.JSON", ".JSON", "a.json.txt"):
        store.write(name, b"{}")
    assert inbox.scan() == []


def test_links_and_special_files_with_the_name_of_a_manifest_are_reported_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("{}")
    for name in ("link.json", "bare.JSON", "other.png"):
        (tmp_path / name).symlink_to("elsewhere" if name == "link.json" else "nothing")
    warnings: list[str] = []
    inbox = Inbox(FolderStore(tmp_path), SETTLED, warn=warnings.append)
    for _ in range(2):
        assert inbox.scan() == []
    reason = "is a link or no ordinary file; put the file itself there"
    assert warnings == [f"{tmp_path}/{name}: {reason}" for name in ("bare.JSON", "link.json")]


@pytest.mark.parametrize("name", ["Cats", "cats ", "CATS.json", "cats .json"])
def test_retry_and_cancel_suggest_a_manifest_whose_name_is_near(store: Store, name: str) -> None:
    store.write("failed/cats.json", b"{}")
    with pytest.raises(UsageError, match=r"; did you mean 'cats'\?$"):
        Inbox(store).retry(name)
    store.write("cats.json", b"{}")
    with pytest.raises(UsageError, match=r"; did you mean 'cats'\?$"):
        Inbox(store).cancel(name)


# `processing` is listed once more when the inbox is opened.
@pytest.mark.parametrize(
    ("command", "start", "listings"),
    [("retry", "failed/", ["", "failed", "processing"]), ("cancel", "", ["", "processing", "processing"])],
)
def test_a_command_lists_each_folder_once_for_all_its_names(
    call: Call, command: str, start: str, listings: list[str]
) -> None:
    store = MemoryStore(uuid4().hex)
    names = [f"m{number}" for number in range(5)]
    for name in names:
        store.write(f"{start}{name}.JSON", b"{}")
    before = len(store.calls)
    code, text = call(command, "--inbox", store.url, *names, "m0", "none", "other")
    assert sorted(folder for verb, folder in store.calls[before:] if verb == "entries") == listings
    assert (code, text.count(": waiting again\n") + text.count(": cancelled\n")) == (2, 5)
    assert "m0: a manifest of this name is waiting" in text or "m0: no manifest of this name waits" in text
    assert all(f"{name}: no " in text for name in ("none", "other"))
