import contextlib
import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ClaimLostError, StoreError, UnavailableError
from pipeline.stores.base import History
from pipeline.stores.folder import FolderStore
from pipeline.stores.folder_claim import FolderClaim
from pipeline.timing import Timing

LIMIT = 1000


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_a_write_leaves_no_other_file(store: FolderStore, tmp_path: Path) -> None:
    store.write("a/b.txt", b"one")
    store.write("a/b.txt", b"two")
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


def test_listings_have_regular_files_only(store: FolderStore, tmp_path: Path) -> None:
    store.write("a", b"a")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("a")
    assert [entry.name for entry in store.entries("")] == ["a"]


def test_a_listing_has_the_time_that_the_file_system_has(store: FolderStore, tmp_path: Path) -> None:
    store.write("a", b"one")
    os.utime(tmp_path / "a", (1000.0, 1234.5))
    (entry,) = store.entries("")
    assert entry.modified == 1234.5


def test_a_folder_announces_its_own_changes_and_is_scanned_often(tmp_path: Path) -> None:
    store = FolderStore(tmp_path, Timing(scan=7.0))
    assert store.event_folder == tmp_path.resolve()
    assert store.idle_interval == 7.0


def test_a_folder_is_created_with_its_parents(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "a" / "b")
    assert not store.exists()
    store.make()
    assert store.exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="is a file; a folder is needed"):
        FolderStore(tmp_path / "file").make()


def test_a_missing_root_is_an_error_and_is_not_created(tmp_path: Path) -> None:
    store = FolderStore(tmp_path / "mount")
    with pytest.raises(UnavailableError, match="no such folder"):
        store.entries("")
    with pytest.raises(UnavailableError):
        store.write("a/b", b"")
    with pytest.raises(UnavailableError):
        store.remove("a")
    assert not store.root.exists()


def test_a_file_that_gets_another_mode_or_name_beside_its_own_is_the_same(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a", b"text")
    before = store.entry("a")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert store.entry("a") == before


def test_a_root_that_cannot_be_looked_at_is_unavailable_for_the_reason_of_the_system(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    store = FolderStore(root)
    root.rmdir()
    root.symlink_to(root)
    with pytest.raises(UnavailableError, match="round in circles"):
        store.read("a", 1)


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


def test_what_is_not_a_regular_file_is_not_read(store: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(StoreError, match="is a folder"):
        store.read("folder", LIMIT)
    with pytest.raises(StoreError, match="not a regular file"):
        store.read("fifo", LIMIT)


def test_a_pattern_does_not_lead_outside(store: FolderStore) -> None:
    with pytest.raises(StoreError, match="must stay below"):
        store.glob("../*")


def test_a_pattern_that_leads_back_to_the_top_finds_nothing(store: FolderStore) -> None:
    assert store.glob(str(store.key(store.absolute("*/..")))) == []


@pytest.mark.parametrize("end", [FolderClaim.release, FolderClaim.drop, FolderClaim.confirm])
def test_the_end_of_a_claim_leaves_no_lock_file(
    store: FolderStore, tmp_path: Path, end: Callable[[FolderClaim], None]
) -> None:
    assert store.claim("a", "held/a") is None
    assert list((tmp_path / "held").iterdir()) == []
    store.write("a", b"text")
    claim = store.claim("a", "held/a")
    assert claim
    store.remove("held/a")
    with contextlib.suppress(ClaimLostError):
        end(claim)
    claim.release()
    assert list((tmp_path / "held").iterdir()) == []


def test_a_claim_is_lost_when_its_file_is_gone_but_not_when_the_whole_folder_is(
    store: FolderStore, tmp_path: Path
) -> None:
    store.write("a", b"text")
    claim = store.claim("a", "held/a")
    assert claim
    claim.confirm()
    away = tmp_path.rename(tmp_path.with_name("away"))
    for call in (claim.confirm, claim.present, lambda: claim.move_to("done/a")):
        with pytest.raises(UnavailableError, match="no such folder"):
            call()
    away.rename(tmp_path)
    claim.confirm()
    store.remove("held/a")
    with pytest.raises(ClaimLostError, match=f"^{tmp_path}/held/a was moved or deleted; work on it stops$"):
        claim.confirm()


def _claim_and_die(root: str) -> None:
    claim = FolderStore(root).claim("a", "held/a")
    os._exit(0 if claim else 1)


def test_deaths_are_counted_until_there_is_progress(store: FolderStore, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")

    def die() -> None:
        process = context.Process(target=_claim_and_die, args=(str(tmp_path),))
        process.start()
        process.join()
        assert process.exitcode == 0

    def crashes(progress: bool) -> int:
        claim = store.claim("a", "held/a")
        assert claim
        found = claim.history.crashes
        if progress:
            claim.note(History())
            assert claim.history.crashes == 0
        claim.release()
        return found

    store.write("a", b"text")
    for _ in range(2):
        die()
    assert crashes(progress=True) == 2
    assert crashes(progress=False) == 0  # a release starts the count again
    die()
    assert crashes(progress=False) == 1


def _claim_all(root: str, barrier: object, won: object) -> None:
    store = FolderStore(root)
    barrier.wait()  # type: ignore[attr-defined]
    kept = []
    for number in range(100):
        if claim := store.claim(f"{number}.json", f"processing/{number}.json"):
            kept.append(claim)
            won.put(number)  # type: ignore[attr-defined]
    barrier.wait()  # type: ignore[attr-defined]


def test_each_file_is_claimed_by_exactly_one_of_eight_processes(store: FolderStore, tmp_path: Path) -> None:
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


def test_a_large_file_keeps_its_history_and_another_of_its_size_does_not(store: FolderStore) -> None:
    noted = History(crashes=2, failed=("p",))
    store.write("a", b"x" * 9_000_000)
    claim = store.claim("a", "held/a")
    assert claim
    claim.note(noted)
    claim.release()
    again = store.claim("a", "held/a")
    assert again and again.history == noted
    again.release()
    store.write("a", b"y" * 9_000_000)
    other = store.claim("a", "held/a")
    assert other and other.history == History()


def test_a_file_that_can_not_be_moved_for_a_while_has_no_deaths(tmp_path: Path) -> None:
    class Locked(FolderStore):
        tries = 0

        def rename(self, source: str, target: str) -> None:
            self.tries += 1
            if self.tries < 5:
                raise StoreError("a: another program has it open")
            super().rename(source, target)

    store = Locked(tmp_path)
    store.write("a", b"text")
    for _ in range(4):
        with pytest.raises(StoreError, match="another program has it open"):
            store.claim("a", "processing/a")
    claim = store.claim("a", "processing/a")
    assert claim and claim.history == History()


def test_a_fault_after_a_claimed_file_was_moved_does_not_end_the_claim(tmp_path: Path) -> None:
    class Faulty(FolderStore):
        faults = 1

        def remove(self, key: str, seen: str | None = None) -> None:
            if self.faults:
                self.faults -= 1
                raise UnavailableError("the folder does not answer")
            super().remove(key, seen)

    store = Faulty(tmp_path)
    for key in ("a", "failed/a"):
        store.write(key, b"text")
    claim = store.claim("a", "processing/a")
    assert claim
    with pytest.raises(UnavailableError):
        claim.move_to("done/a", clearing=["failed/a"])
    assert claim.present()
    claim.confirm()
    claim.move_to("done/a", clearing=["failed/a"])
    assert not (tmp_path / "failed" / "a").exists()
    assert (tmp_path / "done" / "a").read_text() == "text"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_folder_that_is_none_of_the_store_can_be_reserved(
    store: FolderStore, tmp_path: Path, kind: str
) -> None:
    """What is written there fails, and not only the reservation, which would be tried again for ever."""
    if kind == "file":
        (tmp_path / "m").write_text("")
    else:
        (tmp_path / "m").symlink_to("/tmp")
    assert store.reserve("m")
    with pytest.raises(StoreError):
        store.write("m/a", b"")
