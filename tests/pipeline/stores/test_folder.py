import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.folder import FolderStore

LIMIT = 1000


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_what_is_written_is_read(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"two")
    assert store.read("a/b.txt", LIMIT) == b"two"
    assert store.tag("a/b.txt") is not None
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


def test_files_have_the_mode_that_the_umask_leaves(store: FolderStore, tmp_path: Path) -> None:
    store.write("a", b"")
    (tmp_path / "b").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "b")]
    assert modes[0] == modes[1]


def test_a_failed_write_leaves_nothing_behind(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(StoreError, match="is a folder"):
        store.write("a", b"text")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_listings_show_visible_files_of_one_level(store: FolderStore, tmp_path: Path) -> None:
    for key in ("b", "a", ".hidden", "folder/c"):
        store.write(key, key.encode())
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("a")
    assert [(e.name, e.size) for e in store.entries("")] == [("a", 1), ("b", 1)]
    assert list(store.entries("nothing here")) == []


def test_a_version_tells_contents_apart(store: FolderStore) -> None:
    store.write("a", b"one")
    (before,) = store.entries("")
    store.write("a", b"two")
    (after,) = store.entries("")
    assert before.version != after.version


def test_a_vanished_root_is_told_and_not_made_again(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "mount")
    with pytest.raises(UnavailableError, match="no such folder"):
        store.entries("")
    with pytest.raises(UnavailableError):
        store.write("a/b", b"")
    assert not store.root.exists()


@pytest.mark.parametrize("key", ["../secret", "/etc/hostname", "link/secret", "sub/../../secret"])
def test_nothing_outside_is_read_or_written(tmp_path: Path, key: str) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "root" / "sub").mkdir(parents=True)
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    store = FolderStore(tmp_path / "root")
    with pytest.raises(StoreError, match="leads outside"):
        store.read(key, LIMIT)
    with pytest.raises(StoreError, match="leads outside"):
        store.write(key, b"")


def test_what_is_no_file_is_told(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(b"x" * (LIMIT + 1))
    with pytest.raises(StoreError, match="is a folder"):
        store.read("folder", LIMIT)
    with pytest.raises(StoreError, match="not a regular file"):
        store.read("fifo", LIMIT)
    with pytest.raises(StoreError, match="at most"):
        store.read("large", LIMIT)
    with pytest.raises(NotFoundError, match="missing: no such file"):
        store.read("missing", LIMIT)


def test_globs_are_sorted_and_stay_inside(store: FolderStore) -> None:
    for key in ("p/b.jpg", "p/a.jpg", "p/q/c.jpg", "p/d.png"):
        store.write(key, b"")
    assert store.glob("p/*.jpg") == ["p/a.jpg", "p/b.jpg"]
    assert store.glob("**/c.*") == ["p/q/c.jpg"]
    with pytest.raises(StoreError, match="must stay below"):
        store.glob("../*")


def test_a_claim_excludes_others_until_it_is_released(store: FolderStore) -> None:
    store.write("a", b"text")
    claim = store.claim("a", "held/a")
    assert claim
    assert store.tag("a") is None
    assert store.claim("a", "held/a") is None
    claim.release()
    assert store.tag("a") is not None
    again = store.claim("a", "held/a")
    assert again
    again.move_to("done/a")
    claim.release()  # has ended long ago, and must not do anything
    assert store.tag("done/a") is not None
    assert store.tag("held/a") is None


def test_what_was_held_before_comes_first_and_nothing_is_covered(store: FolderStore) -> None:
    store.write("held/a", b"older")
    store.write("a", b"newer")
    claim = store.claim("a", "held/a")
    assert claim
    claim.release()
    assert store.read("held/a", LIMIT) == b"older"
    assert store.read("a", LIMIT) == b"newer"
    with pytest.raises(ConflictError):
        store.move("held/a", "a")
    assert store.read("a", LIMIT) == b"newer"


def test_nothing_is_claimed_where_nothing_is(store: FolderStore, tmp_path: Path) -> None:
    assert store.claim("a", "held/a") is None
    assert list((tmp_path / "held").iterdir()) == []


def _claim_all(root: str, barrier: object, won: object) -> None:
    store = FolderStore(root)
    barrier.wait()  # type: ignore[attr-defined]
    kept = []
    for number in range(100):
        if claim := store.claim(f"{number}.json", f"processing/{number}.json"):
            kept.append(claim)
            won.put(number)  # type: ignore[attr-defined]
    barrier.wait()  # type: ignore[attr-defined]


def test_of_eight_processes_exactly_one_wins_each_claim(store: FolderStore, tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / f"{number}.json").touch()
    context = multiprocessing.get_context("spawn")
    barrier, won = context.Barrier(8), context.Queue()
    workers = [context.Process(target=_claim_all, args=(str(tmp_path), barrier, won)) for _ in range(8)]
    for worker in workers:
        worker.start()
    numbers = sorted(won.get(timeout=60) for _ in range(100))
    for worker in workers:
        worker.join()
    assert numbers == list(range(100))
    assert won.empty()
