"""A runner waits for the end of faults of disks and mounts, reports each once, and then continues."""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from nst import Stylizer
from pipeline.errors import UnavailableError
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.box import PAIRS, Instant, in_folder
from tests.process import Runner

PAIR = {"content": "a.png", "style": "a.png", "epochs": 1, "max_size": 32}
Mount = Callable[..., Path]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "a.png").write_bytes(make_png(32, 32))
    return folder


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """A function that mounts a file system on a folder and returns the folder."""
    mounted = []

    def make(name: str, *options: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        command = ["mount", *options, str(folder)]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount file systems")
        mounted.append(folder)
        return folder

    yield make
    for folder in mounted:
        subprocess.run(["umount", str(folder)], capture_output=True)


def drop(inbox: Path) -> None:
    pairs = [{**PAIR, "id": f"p{number}", "seed": number} for number in range(3)]
    (inbox / "m.json").write_text(json.dumps({"pairs": pairs}))


def watch(inbox: Path, outbox: Path) -> Runner:
    return Runner("watch", "--inbox", inbox, "--outbox", outbox, engine="fake")


def assert_waits_and_continues(runner: Runner, fault: str, repair: Callable[[], object]) -> None:
    """Assert that the fault is reported, and that after `repair` every pair is done exactly once."""
    while fault not in (runner.wait_for_any()["event"]):
        pass
    repair()
    runner.wait_for("manifest done", manifest="m")
    assert (
        sum(fault in event["event"] for event in runner.events) <= 3
    )  # once for each thread that had the fault
    assert runner.count("pair failed") == 0
    assert sorted(event["pair"] for event in runner.events if event["event"] == "pair done") == [
        "p0",
        "p1",
        "p2",
    ]


@pytest.mark.parametrize("options", ["size=64k", "size=1m,nr_inodes=40"])
def test_a_runner_waits_until_a_full_disk_has_space(inbox: Path, mount: Mount, options: str) -> None:
    outbox = mount("outbox", "-t", "tmpfs", "-o", options, "tmpfs")
    fillers = [outbox / f"filler{number}" for number in range(50)]
    with suppress(OSError):
        for filler in fillers:
            with filler.open("wb", buffering=0) as file:
                while options == "size=64k" and file.write(bytes(4096)):
                    pass
    drop(inbox)
    if options != "size=64k":
        fillers[0].unlink()  # so that the runner can start, but not write all results
    with watch(inbox, outbox) as runner:
        assert_waits_and_continues(
            runner,
            "the disk is full; make room; trying again",
            lambda: subprocess.run(["rm", "-f", *fillers], check=True),
        )
    assert not list(outbox.rglob(".writing-*"))


def test_a_runner_waits_until_a_read_only_outbox_is_writable(inbox: Path, mount: Mount) -> None:
    outbox = mount("outbox", "-t", "tmpfs", "tmpfs")
    with watch(inbox, outbox) as runner:
        runner.wait_for("watching")
        subprocess.run(["mount", "-o", "remount,ro", str(outbox)], check=True)
        drop(inbox)
        assert_waits_and_continues(
            runner,
            "the file system is read-only; mount it for writing",
            lambda: subprocess.run(["mount", "-o", "remount,rw", str(outbox)], check=True),
        )


@pytest.mark.parametrize("lost", ["inbox", "outbox"])
def test_a_runner_waits_until_an_unmounted_folder_is_mounted_again(
    inbox: Path, tmp_path: Path, mount: Mount, lost: str
) -> None:
    places = {"inbox": inbox, "outbox": tmp_path / "outbox"}
    volume = mount("volume", "-t", "tmpfs", "tmpfs")
    folder = mount(lost, "--bind", str(volume))
    (places["inbox"] / "a.png").write_bytes(make_png(32, 32))
    unmount = ["umount", "--lazy", str(folder)]  # the runner may just be listing the folder
    with watch(places["inbox"], places["outbox"]) as runner:
        runner.wait_for("watching")
        if lost == "outbox":
            drop(inbox)
            subprocess.run(unmount, check=True)
        else:
            subprocess.run(unmount, check=True)
            drop(volume)
        assert_waits_and_continues(
            runner, "no such folder; if it is on a volume", lambda: mount(lost, "--bind", str(volume))
        )
    subprocess.run(["umount", str(folder)], check=True)
    # Nothing was written into the folder below the mount point.
    assert [path.name for path in folder.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("lost", ["inbox", "outbox"])
def test_a_runner_waits_until_a_renamed_folder_is_back(inbox: Path, tmp_path: Path, lost: str) -> None:
    outbox = tmp_path / "outbox"
    away, folder = tmp_path / "away", tmp_path / lost
    with watch(inbox, outbox) as runner:
        runner.wait_for("watching")
        folder.rename(away)
        drop(away if lost == "inbox" else inbox)
        assert_waits_and_continues(runner, "no such folder", lambda: away.rename(folder))
    assert {path.name for path in (outbox / "m").glob("*.png")} == {"p0.png", "p1.png", "p2.png"}


@pytest.mark.parametrize(
    ("pairs", "file", "code"), [((), "failed/m.error.json", 1), (PAIRS, "m/index.html", 0)]
)
def test_a_file_that_cannot_be_written_at_first_is_written_by_a_retry(
    tmp_path: Path, stylizer: Stylizer, pairs: tuple[str, ...], file: str, code: int
) -> None:
    box, method = in_folder(tmp_path), "replace" if pairs else "write"
    works = getattr(FolderStore, method)

    def fail_once(store: FolderStore, key: str, *arguments: object) -> str:
        if key == file:
            setattr(FolderStore, method, works)
            raise UnavailableError(f"{key}: out of reach")
        return str(works(store, key, *arguments))

    box.fill(pairs=pairs)
    status = box.work(Instant(stylizer), lambda: setattr(FolderStore, method, fail_once))
    events = [event["event"] for event in box.events()]
    assert any("out of reach" in event for event in events), events
    assert os.waitstatus_to_exitcode(status) == code
    assert not box.left()
    assert any(store.tag(file) for store in (box.inbox, box.outbox))
