"""What a folder does beside power failures, hard links, symbolic links and volumes that come and go."""

import errno
import hashlib
import itertools
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ConflictError, StoreError, UnavailableError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.folder import FolderStore
from pipeline.stores.mounts import Tables
from pipeline.timing import Timing

LIMIT = 1000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are synchronised, as they are called at that time."""
    paths: list[str] = []
    fsync = os.fsync

    def record(file: int) -> None:
        paths.append(os.readlink(f"/proc/self/fd/{file}"))
        fsync(file)

    monkeypatch.setattr(os, "fsync", record)
    return paths


def test_a_new_root_is_synchronised_to_its_parents(tmp_path: Path, synced: list[str]) -> None:
    FolderStore(tmp_path / "a" / "b" / "c").make()
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_each_new_folder_of_a_path_is_synchronised_to_its_parent(
    store: FolderStore, root: Path, synced: list[str]
) -> None:
    store.write("a/b/c/file", b"text")
    *folders, data, last = synced
    assert folders == [str(root), str(root / "a"), str(root / "a" / "b")]
    assert data.startswith(str(root / "a" / "b" / "c" / ".writing-"))  # before it is renamed
    assert last == str(root / "a" / "b" / "c")


def test_a_removal_is_synchronised(store: FolderStore, root: Path, synced: list[str]) -> None:
    store.write("a/file", b"text")
    synced.clear()
    store.remove("a/file")
    assert synced == [str(root / "a")]
    store.remove("a/file")
    assert synced == [str(root / "a")]


def test_a_moved_file_is_durable_in_its_new_folder_before_it_leaves_the_old_one(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a/file", b"text")
    (root / "b").mkdir()
    both_names: list[bool] = []
    fsync = os.fsync

    def record(file: int) -> None:
        if os.readlink(f"/proc/self/fd/{file}") == str(root / "b"):
            both_names.append((root / "a" / "file").exists() and (root / "b" / "file").exists())
        fsync(file)

    monkeypatch.setattr(os, "fsync", record)
    store.move("a/file", "b/file")
    assert both_names[0]


@pytest.mark.parametrize("change", [FolderStore.rename, FolderStore.move])
def test_a_change_of_name_to_a_second_name_of_the_file_removes_the_first_one(
    store: FolderStore, root: Path, change: Callable[[FolderStore, str, str], None]
) -> None:
    store.write("a/x", b"text")
    (root / "b").mkdir()
    (root / "b" / "x").hardlink_to(root / "a" / "x")
    change(store, "a/x", "b/x")
    assert not (root / "a" / "x").exists()
    assert store.read("b/x", LIMIT) == b"text"


def test_a_file_that_is_renamed_to_itself_stays(store: FolderStore, root: Path) -> None:
    store.write("a/x", b"text")
    (root / "template").hardlink_to(root / "a" / "x")
    (root / "same").symlink_to("a")
    store.rename("a/x", "same/x")
    assert store.read("a/x", LIMIT) == b"text"


def test_a_manifest_that_is_linked_into_the_inbox_again_is_done_again(root: Path, tmp_path: Path) -> None:
    template = tmp_path / "template.json"
    template.write_text("{}")
    for _ in range(3):
        (root / "n.json").hardlink_to(template)
        inbox = Inbox(FolderStore(root), Timing(settled=0.0))
        assert [ready.name for ready in inbox.scan()] == ["n"]
        claimed = inbox.claim("n")
        assert claimed
        claimed.complete()
        status = inbox.status()
        assert (status.waiting, status.processing, status.done) == ([], [], ["n"])
        assert inbox.scan() == []
    assert template.read_text() == "{}"


def test_a_manifest_with_both_names_after_a_hand_back_that_was_killed_is_done_once(root: Path) -> None:
    (root / "processing").mkdir()
    (root / "processing" / "n.json").write_text("{}")
    (root / "n.json").hardlink_to(root / "processing" / "n.json")
    inbox = Inbox(FolderStore(root), Timing(settled=0.0))
    claimed = inbox.claim("n")
    assert claimed
    assert not (root / "n.json").exists()
    claimed.complete()
    assert inbox.scan() == []
    assert inbox.status().done == ["n"]


VERBS: dict[str, Callable[[FolderStore], object]] = {
    "write": lambda store: store.write("sub/new", b"text"),
    "write deep": lambda store: store.write("sub/deep/er/new", b"text"),
    "remove": lambda store: store.remove("sub/there"),
    "rename from": lambda store: store.rename("sub/there", "elsewhere"),
    "rename to": lambda store: store.rename("here", "sub/there"),
    "move from": lambda store: store.move("sub/there", "elsewhere"),
    "move to": lambda store: store.move("here", "sub/new"),
    "claim": lambda store: store.claim("here", "sub/here"),
    "reserve": lambda store: store.reserve("sub/new"),
    "tidy": lambda store: store.tidy("sub"),
    "read": lambda store: store.read("sub/there", LIMIT),
    "part": lambda store: store.part("sub/there", 0, LIMIT).data,
}


@pytest.mark.parametrize("verb", VERBS)
def test_nothing_is_changed_through_a_folder_that_becomes_a_symbolic_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    for calls in itertools.count(1):
        root, outside = tmp_path / f"{calls}", tmp_path / f"outside-{calls}"
        for folder in (root / "sub", outside):
            folder.mkdir(parents=True)
            for name in ("there", ".writing-x"):
                (folder / name).write_text(folder.name)
        (root / "here").write_text("here")
        with monkeypatch.context() as patch:
            patch.setattr(os.path, "realpath", _swapping(calls, root, outside))
            try:
                result = VERBS[verb](FolderStore(root))
            except StoreError:
                result = None
        if not (root / "away").exists():
            assert calls > 1
            return
        assert result != outside.name.encode()
        assert {path.name: path.read_text() for path in outside.iterdir()} == {
            "there": outside.name,
            ".writing-x": outside.name,
        }


def _swapping(calls: int, root: Path, outside: Path) -> Callable[..., str]:
    """`os.path.realpath`, which replaces a folder by a link after so many calls."""
    realpath, numbers = os.path.realpath, itertools.count(1)

    def swapping(*arguments: Any, **keywords: Any) -> str:
        result: str = realpath(*arguments, **keywords)
        if next(numbers) == calls:
            (root / "sub").rename(root / "away")
            (root / "sub").symlink_to(outside)
        return result

    return swapping


def test_links_that_lead_inside_are_followed(store: FolderStore, root: Path) -> None:
    (root / "real").mkdir()
    (root / "processing").symlink_to("real")
    (root / "file").symlink_to("real/a")
    store.write("processing/a", b"one")
    assert (root / "real" / "a").read_bytes() == store.read("file", LIMIT) == b"one"
    assert store.tag("file") == store.tag("real/a")
    (root / "b").write_bytes(b"two")
    claim = store.claim("b", "processing/b")
    assert claim
    assert (root / "real" / "b").exists()
    claim.move_to("processing/c")
    store.move("processing/c", "c")
    assert [path.name for path in (root / "real").iterdir()] == ["a"]
    store.write("file", b"three")  # replaces the link, not the file
    assert store.read("real/a", LIMIT) == b"one"


def test_temporary_files_of_dead_writers_are_deleted_in_all_folders_below(
    store: FolderStore, root: Path
) -> None:
    store.write("m/thumbs/kept", b"text")
    for name in ("m/.writing-1", "m/thumbs/.writing-2", ".writing-3"):
        (root / name).touch()
    store.tidy("m")
    store.tidy("missing")
    assert sorted(path.name for path in root.rglob("*") if path.is_file()) == [".writing-3", "kept"]


def test_a_tag_depends_on_the_whole_content(store: FolderStore, root: Path) -> None:
    tag = store.write("a", b"picture")
    assert tag == store.tag("a")
    assert tag == f"sha256:{hashlib.sha256(b'picture').hexdigest()}"
    (root / "a").write_bytes(bytes(7))
    assert store.tag("a") != tag
    with pytest.raises(ConflictError):
        store.replace("a", b"late", seen=tag)


def test_without_hard_links_a_file_that_exists_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    store = FolderStore(tmp_path)
    store.replace("a", b"old", None)
    store.write("b", b"new")
    with pytest.raises(ConflictError):
        store.move("b", "a")
    with pytest.raises(ConflictError):
        store.replace("a", b"new", None)
    assert store.read("a", 100) == b"old"
    store.move("b", "c")
    assert store.read("c", 100) == b"new"


def test_a_volume_that_is_planned_but_not_mounted_is_waited_for(tmp_path: Path) -> None:
    table = tmp_path / "fstab"
    volume = tmp_path.resolve() / "volume"
    table.write_text(f"server:/share {volume} nfs4 defaults 0 0\n")
    volume.mkdir()
    store = FolderStore(volume / "out", tables=Tables(table))
    message = f"^{volume}/out: a volume is to be mounted at {volume}, but is not; mount it$"
    for call in (store.make, store.exists, lambda: store.entries(""), lambda: store.write("a", b"")):
        with pytest.raises(UnavailableError, match=message):
            call()
    assert list(volume.iterdir()) == []


@pytest.fixture
def mount() -> Iterator[Callable[..., None]]:
    """A function that mounts something on a folder, an empty volume if nothing else is said."""
    mounted: list[Path] = []

    def make(folder: Path, *what: str) -> None:
        command = ["mount", *(what or ("-t", "tmpfs", "tmpfs")), str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount file systems")
        mounted.append(folder)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "-l", str(folder)], capture_output=True)


def test_a_planned_volume_is_used_once_it_is_mounted(tmp_path: Path, mount: Callable[[Path], None]) -> None:
    table = tmp_path / "fstab"
    volume = tmp_path.resolve() / "volume"
    table.write_text(f"server:/share {volume} nfs4 defaults 0 0\n")
    volume.mkdir()
    store = FolderStore(volume / "out", tables=Tables(table))
    with pytest.raises(UnavailableError):
        store.make()
    mount(volume)
    store.make()
    store.write("a", b"text")
    assert store.read("a", LIMIT) == b"text"


def test_a_planned_folder_is_used_once_it_is_bound_to_its_place(
    tmp_path: Path, mount: Callable[..., None]
) -> None:
    table = tmp_path / "fstab"
    source, place = tmp_path.resolve() / "source", tmp_path.resolve() / "place"
    table.write_text(f"{source} {place} none bind 0 0\n")
    source.mkdir()
    place.mkdir()
    store = FolderStore(place / "out", tables=Tables(table))
    with pytest.raises(UnavailableError, match="a volume is to be mounted"):
        store.make()
    mount(place, "--bind", str(source))
    store.make()
    store.write("a", b"text")
    assert (source / "out" / "a").read_bytes() == b"text"


@pytest.mark.parametrize("above", [False, True])
def test_a_volume_that_is_mounted_over_a_folder_in_use_is_not_written_to(
    root: Path, mount: Callable[[Path], None], above: bool
) -> None:
    folder = root / "volume"
    path = folder / "out" if above else folder
    path.mkdir(parents=True)
    store = FolderStore(path)
    store.write("a", b"text")
    claim = store.claim("a", "held/a")
    assert claim
    mount(folder)
    path.mkdir(exist_ok=True)
    message = f"^{path}: a volume was mounted at {folder} while this process was running"
    for call in (claim.confirm, lambda: store.write("b", b""), lambda: store.entries("")):
        with pytest.raises(UnavailableError, match=message):
            call()
    assert list(path.iterdir()) == []
    FolderStore(path).write("b", b"text")  # as a new process does
    subprocess.run(["umount", str(folder)], check=True)
    claim.confirm()
    claim.release()
    assert store.read("a", LIMIT) == b"text"
