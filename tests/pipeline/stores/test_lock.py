"""A claim in a folder that several machines use: its lock may be unknown to some of them, or deleted."""

import fcntl
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.errors import ClaimLostError
from pipeline.stores.base import History
from pipeline.stores.folder import FolderStore
from pipeline.stores.folder_claim import FolderClaim
from pipeline.stores.holding import Holding
from pipeline.stores.mounts import SYSTEM, Tables
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.pipeline.calling import Call
from tests.pipeline.stores.dead import left_by_another_machine

SOON = 0.2  # seconds without a change after which a lock may be taken over


def claimed(store: FolderStore, name: str = "a") -> FolderClaim:
    store.write(name, b"text")
    claim = store.claim(name, f"held/{name}")
    assert claim
    return claim


def lock_file(folder: Path) -> Path:
    (found,) = folder.glob("**/.lock-*")
    return found


def wait_until(happened: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.fixture
def network(tmp_path: Path) -> Tables:
    """Tables of a system that has the folder of the test on NFS."""
    table = tmp_path / "mountinfo"
    table.write_text(f"40 27 0:40 / {tmp_path.resolve()} rw - nfs4 server:/share rw,local_lock=none\n")
    return Tables(Path("/dev/null"), table)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    return folder


def died(root: Path, **changes: object) -> Path:
    """The lock file of a holder that has died; `changes` are fields of its text."""
    store = FolderStore(root)
    claim = claimed(store)
    lock = lock_file(root)
    holding = Holding.from_bytes(lock.read_bytes()).model_copy(update=changes)
    claim.drop()
    lock.write_bytes(holding.to_bytes())
    return lock


def test_a_lock_of_another_machine_is_taken_over_after_it_has_not_changed_for_a_while(
    root: Path, network: Tables
) -> None:
    died(root, machine="another")
    store = FolderStore(root, Timing(lease=SOON), tables=network)
    began = time.monotonic()
    found = [store.claim("a", "held/a")]
    assert found == [None]

    def taken_over() -> bool:
        found.append(store.claim("a", "held/a"))
        return found[-1] is not None

    wait_until(taken_over)
    assert time.monotonic() - began >= SOON
    assert found[-1] and found[-1].history == History(crashes=1)


def test_a_lock_that_another_machine_renews_is_not_taken_over(root: Path, network: Tables) -> None:
    lock = died(root, machine="another")
    store = FolderStore(root, Timing(lease=SOON), tables=network)
    until = time.monotonic() + 2 * SOON
    seconds = 1000
    while time.monotonic() < until:
        seconds += 1
        os.utime(lock, (seconds, seconds))
        assert store.claim("a", "held/a") is None
    wait_until(lambda: store.claim("a", "held/a"))


@pytest.mark.parametrize(
    ("changes", "alone", "shared"),
    [
        ({"machine": "another", "stopped": True}, False, True),
        ({}, False, True),
        ({"machine": "another"}, True, True),
        ({"machine": "another"}, False, False),
    ],
    ids=["the holder was stopped", "the same machine", "alone", "a local disk"],
)
def test_a_lock_is_taken_over_at_once_where_its_holder_can_not_live(
    root: Path, network: Tables, changes: dict[str, object], alone: bool, shared: bool
) -> None:
    died(root, **changes)
    store = FolderStore(root, alone=alone, tables=network if shared else SYSTEM)
    assert store.claim("a", "held/a")


@pytest.mark.parametrize("alone", [False, True])
def test_stores_are_opened_with_the_statement_that_no_other_machine_has_a_runner(
    root: Path, network: Tables, monkeypatch: pytest.MonkeyPatch, alone: bool
) -> None:
    died(root, machine="another")
    read_text = Path.read_text

    def read_sample(path: Path, **how: str) -> str:
        return read_text(network.mounted if path == SYSTEM.mounted else path, **how)

    monkeypatch.setattr(Path, "read_text", read_sample)
    claim = Stores(alone=alone).open(str(root)).claim("a", "held/a")
    assert (claim is not None) == alone


def test_a_reservation_of_another_machine_is_respected(root: Path, network: Tables) -> None:
    left_by_another_machine(root, ("results/m", ""))
    assert FolderStore(root, tables=network).reserve("results/m") is None
    assert FolderStore(root, Timing(lease=0.0), tables=network).reserve("results/m")


@pytest.mark.parametrize(("held", "asked"), [("", "1-of-2"), ("1-of-2", "")])
def test_a_part_and_the_whole_folder_exclude_each_other_until_a_dead_process_was_silent_for_long_enough(
    root: Path, network: Tables, held: str, asked: str
) -> None:
    left_by_another_machine(root, ("results/m", held))
    assert FolderStore(root, tables=network).reserve("results/m", asked) is None
    assert FolderStore(root).reserve("results/m", asked)  # no other machine can have this folder


def test_parts_whose_machines_have_died_one_after_the_other_are_free_together(
    root: Path, network: Tables
) -> None:
    locks = left_by_another_machine(root, ("results/m", "1-of-2"), ("results/m", "2-of-2"))
    store = FolderStore(root, Timing(lease=SOON), tables=network)
    lives, seconds, until = locks[0], 1000, time.monotonic() + 1.5 * SOON
    while time.monotonic() < until:
        seconds += 1
        os.utime(lives, (seconds, seconds))
        assert store.reserve("results/m") is None
    wait_until(lambda: store.reserve("results/m"))


def test_one_thread_renews_all_locks_of_a_store(root: Path) -> None:
    before = threading.active_count()
    store = FolderStore(root, Timing(lock_renewal=0.01))
    claims = [claimed(store, name) for name in "abc"]
    assert threading.active_count() == before + 1
    locks = list(root.glob("held/.lock-*"))
    for lock in locks:
        os.utime(lock, (1000, 1000))
    wait_until(lambda: all(lock.stat().st_mtime != 1000 for lock in locks))
    for claim in claims:
        claim.drop()
    wait_until(lambda: threading.active_count() == before)


def test_a_claim_is_lost_when_its_lock_file_is_deleted(root: Path) -> None:
    store = FolderStore(root)
    claim = claimed(store)
    lock_file(root).unlink()
    for call in (claim.confirm, lambda: claim.note(History()), lambda: claim.move_to("done/a")):
        with pytest.raises(ClaimLostError, match="held/a: its lock file was deleted or replaced; work on it"):
            call()
    assert not claim.present()
    assert store.read("held/a", 10) == b"text"


@pytest.mark.parametrize("end", [FolderClaim.release, FolderClaim.drop])
def test_a_claim_whose_lock_was_replaced_leaves_file_and_lock_to_the_new_holder(
    root: Path, end: Callable[[FolderClaim], None]
) -> None:
    first = claimed(FolderStore(root))
    lock_file(root).unlink()
    second = FolderStore(root).claim("a", "held/a")
    assert second
    with pytest.raises(ClaimLostError):
        first.confirm()
    end(first)
    second.confirm()
    assert FolderStore(root).claim("a", "held/a") is None


def test_a_claim_is_lost_when_another_machine_has_taken_it_over(root: Path) -> None:
    claim = claimed(FolderStore(root))
    lock = lock_file(root)
    other = Holding(owner="other", machine="another").to_bytes()
    lock.write_bytes(other)
    with pytest.raises(ClaimLostError, match="held/a: another runner has taken over; work on it stops"):
        claim.confirm()
    claim.release()
    assert lock.read_bytes() == other
    assert not (root / "a").exists()


def test_the_loss_of_a_lock_is_noticed_without_anything_being_published(root: Path) -> None:
    claim = claimed(FolderStore(root, Timing(lock_renewal=0.01)))
    assert claim.present()
    lock_file(root).unlink()
    wait_until(lambda: not claim.present())


def test_a_lock_whose_text_becomes_shorter_is_still_held(root: Path) -> None:
    claim = claimed(FolderStore(root))
    claim.note(History(failed=tuple(f"pair {number}" for number in range(100))))
    claim.note(History())
    claim.confirm()
    assert Holding.from_bytes(lock_file(root).read_bytes()).history == History()


def test_a_folder_whose_locks_do_not_reach_other_machines_is_refused(tmp_path: Path, root: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(f"40 27 0:40 / {tmp_path.resolve()} rw - nfs4 server:/share rw,local_lock=all\n")
    store = FolderStore(root, tables=Tables(Path("/dev/null"), table))
    assert store.claim_fault() == (
        f"the mount option local_lock=all keeps the locks on {tmp_path.resolve()} from other machines; "
        "mount it without this option"
    )
    assert list(root.iterdir()) == []


def no_lock(file: object, operation: int) -> None:
    """`flock` on a file system that ignores it."""


def unsupported(file: object, operation: int) -> None:
    raise OSError(95, "Operation not supported")


@pytest.mark.parametrize("flock", [no_lock, unsupported])
def test_a_file_system_without_working_locks_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, flock: Callable[[object, int], None]
) -> None:
    monkeypatch.setattr(fcntl, "flock", flock)
    fault = FolderStore(root).claim_fault()
    assert fault == "flock() has no effect in this file system; use another one"
    assert list(root.iterdir()) == []


def test_a_probe_of_locks_leaves_no_file(root: Path) -> None:
    assert not FolderStore(root).claim_fault()
    assert list(root.iterdir()) == []


def test_watch_refuses_a_folder_without_working_locks_unless_it_is_alone(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call_fake: Call
) -> None:
    monkeypatch.setattr(fcntl, "flock", no_lock)
    command = ("watch", "--once", "--inbox", root, "--outbox", tmp_path / "out")
    code, output = call_fake(*command)
    assert code == 2
    (sentence,) = output.splitlines()
    assert sentence.startswith(f"nst-pipeline: inbox {root}: two runners could take one manifest, because")
    assert sentence.endswith("or start just one runner, with --alone")
    assert call_fake(*command, "--alone")[0] == 0
