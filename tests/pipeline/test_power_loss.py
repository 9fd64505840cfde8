"""Runs a small part of `tests/power_loss.py`, and checks that it finds the faults that it is there for."""

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.stores.base import History
from pipeline.stores.folder import FolderStore
from pipeline.timing import Timing
from tests.disk import Disk, Named, Step, Sync
from tests.power_loss import SCENARIOS, Open, Scenario, record
from tests.recorder import recorded

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc/self/fd")

FIRST, AGAIN, BY_HAND = SCENARIOS
EVERY = 60  # states for one from which a runner does the rest


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_power_loss_at_any_step_loses_nothing_and_tears_nothing(scenario: Scenario) -> None:
    replay = record(scenario)
    replay.run(every=EVERY)
    assert not replay.violations
    assert replay.states > 100
    assert replay.restarts > 2


def no_file_is_synchronised(disk: Disk, steps: list[Step]) -> Iterator[Step]:
    return (step for step in steps if not isinstance(step, Sync) or step.node in disk.folders)


def no_folder_is_synchronised(disk: Disk, steps: list[Step]) -> Iterator[Step]:
    return (step for step in steps if not isinstance(step, Sync) or step.node not in disk.folders)


def only_the_last_folder_of_a_new_path_is_synchronised(disk: Disk, steps: list[Step]) -> Iterator[Step]:
    above = set[int]()  # folders that have got a new folder since they were synchronised
    for step in steps:
        if isinstance(step, Named) and step.node in disk.folders and step.to:
            above.add(step.to[0])
        if isinstance(step, Sync) and step.node in above:
            above.remove(step.node)
        else:
            yield step


def a_new_name_is_not_synchronised_before_the_old_one_goes(disk: Disk, steps: list[Step]) -> Iterator[Step]:
    linked, known = set[int](), set(disk.names.values())
    for step in steps:
        if isinstance(step, Named):
            linked = {step.node} if step.node in known and step.to and not step.off else set()
            known.add(step.node)
        if not (linked and isinstance(step, Sync)):
            yield step


@pytest.mark.parametrize(
    ("scenario", "without"),
    [
        (FIRST, no_file_is_synchronised),
        (AGAIN, no_file_is_synchronised),
        (FIRST, no_folder_is_synchronised),
        (AGAIN, no_folder_is_synchronised),
        (FIRST, only_the_last_folder_of_a_new_path_is_synchronised),
        (BY_HAND, a_new_name_is_not_synchronised_before_the_old_one_goes),
    ],
)
def test_it_is_found_out_if_something_is_not_synchronised(
    scenario: Scenario, without: Callable[[Disk, list[Step]], Iterator[Step]]
) -> None:
    replay = record(scenario)
    replay.run([*without(replay.disk, replay.steps)], every=sys.maxsize, enough=1)
    assert replay.violations


class RecordFirst(FolderStore):
    """Writes each picture after its record."""

    def __init__(self, path: Path, timing: Timing) -> None:
        super().__init__(path, timing)
        self._late: dict[str, bytes] = {}

    def write(self, key: str, data: bytes) -> str:
        if key.endswith(".png"):
            self._late[key.replace(".png", ".json")] = data
            return f"sha256:{hashlib.sha256(data).hexdigest()}"
        tag = super().write(key, data)
        if picture := self._late.pop(key, b""):
            super().write(key.replace(".json", ".png"), picture)
        return tag

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        return self.write(key, data)


class EarlierRecordStays(FolderStore):
    """Removes no record before its picture is replaced."""

    def remove(self, key: str, seen: str | None = None) -> None:
        if not key.endswith(".json"):
            super().remove(key, seen)


@pytest.mark.parametrize(
    ("scenario", "outbox"), [(FIRST, RecordFirst), (AGAIN, RecordFirst), (AGAIN, EarlierRecordStays)]
)
def test_it_is_found_out_if_files_are_written_in_a_wrong_order(scenario: Scenario, outbox: Open) -> None:
    replay = record(scenario, outbox)
    replay.run(every=sys.maxsize, enough=1)
    (violation,) = replay.violations
    assert violation.endswith("does not describe the files beside it")


NOTED = History(crashes=1, pair="p", alone=True, failed=("q",))


@pytest.mark.parametrize("noted", [History(), NOTED])
def test_a_power_loss_counts_as_a_death(tmp_path: Path, noted: History) -> None:
    root = tmp_path / "before"
    root.mkdir()
    store = FolderStore(root)
    store.write("a.json", b"text")
    with recorded(root) as (disk, steps):
        claim = store.claim("a.json", "processing/a.json")
        assert claim
        if noted != History():
            claim.note(noted)
    for number, state in enumerate(disk.states_after(steps)):
        after = tmp_path / str(number)
        after.mkdir()
        state.write(after)
        next_claim = FolderStore(after).claim("a.json", "processing/a.json")
        assert next_claim and next_claim.history == noted.after_death()


def test_a_manifest_is_sure_of_its_new_place_before_it_leaves_the_old_one(tmp_path: Path) -> None:
    store = FolderStore(tmp_path)
    store.write("a.json", b"text")
    with recorded(tmp_path) as (_, steps):
        claim = store.claim("a.json", "processing/a.json")
        assert claim
        claim.move_to("done/a.json")
    renames = [
        (index, step.to[0], step.off[0])
        for index, step in enumerate(steps)
        if isinstance(step, Named) and step.to and step.off and step.to[0] != step.off[0]
    ]
    assert len(renames) == 2
    for index, new, old in renames:
        assert steps[index + 1 : index + 3] == [Sync(new), Sync(old)]


def test_changes_that_are_not_synchronised_may_be_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(b"old")
    with recorded(tmp_path) as (disk, steps):
        folder = os.open(tmp_path, os.O_RDONLY)
        file = os.open("new", os.O_RDWR | os.O_CREAT, dir_fd=folder)
        os.pwrite(file, b"text", 0)
        os.rename(tmp_path / "old", "moved", dst_dir_fd=folder)
        os.close(file)
    found = {frozenset(state.files) for state in disk.states(steps)}
    new = [set(), *({("new", content)} for content in (b"", b"te", b"text"))]
    old: list[set[tuple[str, bytes]]] = [{("old", b"old")}, {("moved", b"old")}]
    assert found == {frozenset(one | other) for one in new for other in old}
    with recorded(tmp_path) as (disk, steps):
        os.unlink("new", dir_fd=folder)
        os.fsync(folder)
    os.close(folder)
    *_, last = disk.states(steps)
    assert last.files == {("moved", b"old")}


def test_a_rename_between_folders_that_are_not_synchronised_may_be_half_done(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "x").write_bytes(b"text")
    a, b = (os.open(tmp_path / name, os.O_RDONLY) for name in ("a", "b"))
    with recorded(tmp_path) as (disk, steps):
        os.replace("x", "y", src_dir_fd=a, dst_dir_fd=b)
    before, after = {("a/x", b"text")}, {("b/y", b"text")}
    found = {frozenset(state.files): state.links for state in disk.states(steps)}
    assert found.keys() == {frozenset(before), frozenset(after), frozenset(before | after)}
    assert found[frozenset(before | after)] == {frozenset({"a/x", "b/y"})}
    with recorded(tmp_path) as (disk, steps):
        os.replace("y", "z", src_dir_fd=b, dst_dir_fd=b)
        os.fsync(b)
    for descriptor in (a, b):
        os.close(descriptor)
    assert [set(state.files) for state in disk.states(steps)] == [{("b/y", b"text")}, {("b/z", b"text")}]


def change_by_path(root: Path) -> None:
    (root / "file").write_bytes(b"text")


def delete_a_folder(root: Path) -> None:
    os.rmdir(root / "folder")


@pytest.mark.parametrize("change", [change_by_path, delete_a_folder])
def test_a_change_that_is_not_understood_is_an_error(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(AssertionError, match="does not understand"),
        recorded(tmp_path),
        contextlib.suppress(AssertionError),
    ):
        change(tmp_path)
