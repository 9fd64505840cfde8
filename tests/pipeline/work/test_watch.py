"""Real runners with real folders: every manifest is processed, also if a runner is stopped or killed."""

import json
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, suppress
from pathlib import Path

import pytest

from tests.conftest import SHALLOW, make_picture
from tests.pipeline.calling import Call
from tests.process import Runner

QUICK = {"epochs": 1, "max_size": 48, **SHALLOW}
ENDLESS = {"epochs": 1000, "max_size": 48, "init": "random"}
Start = Callable[..., Runner]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    make_picture(seed=1).save(folder / "content.png")
    make_picture(64, 64, seed=2).save(folder / "style.png")
    return folder


@pytest.fixture
def start(inbox: Path, tmp_path: Path) -> Iterator[Start]:
    runners = []

    def watch(*options: str, engine: str = "fake", timing: Mapping[str, float] | None = None) -> Runner:
        places = ("--inbox", inbox, "--outbox", tmp_path / "outbox")
        runner = Runner("watch", *places, *options, engine=engine, timing=timing)
        runners.append(runner)
        return runner

    yield watch
    for runner in runners:
        runner.kill()


def drop(inbox: Path, name: str, *pairs: Mapping[str, object]) -> None:
    images = {"content": "content.png", "style": "style.png"}
    entries = [{"id": f"p{i}", **images, **pair} for i, pair in enumerate(pairs)]
    (inbox / f"{name}.json").write_text(json.dumps({"pairs": entries}))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.json")} if folder.is_dir() else set()


def test_once_processes_all_manifests_in_the_inbox_and_ends(
    start: Start, inbox: Path, tmp_path: Path, call: Call
) -> None:
    drop(inbox, "good", QUICK, {**QUICK, "style_weight": 1e5})
    drop(inbox, "half", QUICK, {**QUICK, "content": "gone.png"})
    (inbox / "broken.json").write_text('{"pairs": [}')
    Path(os.fsdecode(bytes(inbox) + b"/caf\xe9.json")).write_text("[]")
    (inbox / "placeholder.json").touch()
    runner = start("--once")
    assert runner.finish() == 1
    assert names(inbox) == {"placeholder.json"}
    assert names(inbox / "done") == {"good.json"}
    assert names(inbox / "failed") == {
        "half.json",
        "half.error.json",
        "broken.json",
        "broken.error.json",
        "caf\udce9.json",
        "caf\udce9.error.json",
    }
    files = {path.name for path in (tmp_path / "outbox" / "half").iterdir()}
    assert files == {"p0.png", "p0.json", "p0.loss.jsonl", "index.html", "thumbs", ".origin.json"}
    record = json.loads((tmp_path / "outbox" / "good" / "p0.json").read_text())
    assert record["status"] == "done"
    assert Path(next(event["page"] for event in runner.events if "page" in event)).is_file()

    shutil.copy(inbox / "content.png", inbox / "gone.png")
    remedy = json.loads((inbox / "failed" / "half.error.json").read_text())["remedy"]
    command = shlex.split(remedy.split("then: nst-pipeline ")[1])
    with chdir(tmp_path):  # the command works in any folder
        code, said = call(*command[:-1], "typo", command[-1])
    assert code == 2
    assert said.startswith("half: waiting again\nnst-pipeline: typo: no failed manifest of this name")
    again = start("--once")
    assert again.finish() == 0
    assert (again.count("pair done already"), again.count("pair done")) == (1, 1)
    assert "half.json" not in names(inbox / "failed")


def test_a_manifest_that_cannot_be_moved_to_failed_does_not_block_others(start: Start, inbox: Path) -> None:
    (inbox / "failed").write_text("a file, where a folder is needed")
    (inbox / "broken.json").write_text("[]")
    drop(inbox, "good", QUICK)
    runner = start("--once")
    assert runner.finish() == 1
    assert names(inbox / "done") == {"good.json"}
    assert names(inbox) == {"broken.json"}


def test_a_manifest_that_cannot_be_moved_to_failed_is_not_retried_immediately(
    start: Start, inbox: Path
) -> None:
    (inbox / "failed").write_text("a file, where a folder is needed")
    drop(inbox, "bad", {**QUICK, "content": "gone.png"})
    runner = start()
    runner.wait_for("manifest started", manifest="bad")
    for name in ("good", "better"):
        drop(inbox, name, QUICK)
        runner.wait_for("manifest done", manifest=name)
    begun = [event["manifest"] for event in runner.events if event["event"] == "manifest started"]
    assert begun == ["bad", "good", "better"]
    assert names(inbox) == {"bad.json"}


def test_manifests_that_arrive_later_are_processed(start: Start, inbox: Path, tmp_path: Path) -> None:
    runner = start()
    runner.wait_for("watching")
    drop(inbox, "dropped", QUICK)
    runner.wait_for("manifest done", manifest="dropped")
    drop(tmp_path, "moved", QUICK)
    (tmp_path / "moved.json").rename(inbox / "moved.json")
    runner.wait_for("manifest done", manifest="moved")
    runner.process.terminate()
    assert runner.finish() == 128 + signal.SIGTERM


def test_an_inbox_that_was_removed_and_recreated_is_watched_again(start: Start, inbox: Path) -> None:
    runner = start()
    runner.wait_for("watching")
    kept = inbox.with_name("kept")
    inbox.rename(kept)
    while not runner.wait_for_any()["event"].startswith(f"{inbox}: no such folder"):
        pass
    shutil.copytree(kept, inbox)
    drop(inbox, "late", QUICK)
    runner.wait_for("manifest done", manifest="late")


@pytest.mark.skipif(
    not Path("/proc/self/fd").is_dir(), reason="only Linux lists the inotify handles of a process"
)
def test_polling_uses_no_file_events(start: Start, inbox: Path) -> None:
    for options, listens in (((), True), (("--poll",), False)):
        runner = start(*options)
        runner.wait_for("watching")
        drop(inbox, f"dropped{listens}", QUICK)
        runner.wait_for("manifest done", manifest=f"dropped{listens}")
        files = []
        for link in Path(f"/proc/{runner.process.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # the file was closed in the meantime
                files.append(os.readlink(link))
        assert any("inotify" in file for file in files) == listens
        runner.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_hands_the_manifest_back(start: Start, inbox: Path, number: int) -> None:
    drop(inbox, "long", QUICK, ENDLESS)
    runner = start(engine="lasting")
    runner.wait_for_all({"event": "pair done"}, {"event": "pair started", "pair": "p1"})
    runner.process.send_signal(number)
    assert runner.finish() == 128 + number
    assert runner.count("manifest handed back") == 1
    assert names(inbox) == {"long.json"}
    assert names(inbox / "processing") == set()

    drop(inbox, "long", QUICK, QUICK)
    again = start("--once", engine="lasting")
    assert again.finish() == 0
    assert (again.count("pair done already"), again.count("pair done")) == (1, 1)


def test_a_signal_ends_a_runner_that_computes(start: Start, inbox: Path) -> None:
    drop(inbox, "long", ENDLESS)
    runner = start(engine="local")
    runner.wait_for("pair started")
    runner.process.send_signal(signal.SIGTERM)
    assert runner.finish() == 128 + signal.SIGTERM
    assert names(inbox) == {"long.json"}


def test_a_second_signal_ends_the_runner_and_loses_no_manifest(start: Start, inbox: Path) -> None:
    drop(inbox, "long", QUICK)
    # The first signal alone would not end it: its engine never comes back, and has an hour to do so.
    runner = start(engine="stuck", timing={"grace": 3600})
    runner.wait_for("manifest started")
    for number in (signal.SIGTERM, signal.SIGINT):
        runner.process.send_signal(number)
    assert runner.finish() in (128 + signal.SIGTERM, 128 + signal.SIGINT)
    (left,) = inbox.rglob("long.json")
    drop(left.parent, "long", QUICK)
    second = start("--once")
    assert second.finish() == 0
    assert names(inbox / "done") == {"long.json"}


def test_the_next_runner_continues_the_manifest_of_a_killed_runner(
    start: Start, inbox: Path, tmp_path: Path
) -> None:
    drop(inbox, "long", QUICK, ENDLESS)
    runner = start(engine="lasting")
    runner.wait_for_all({"event": "pair done"}, {"event": "pair started", "pair": "p1"})
    runner.kill()
    assert names(inbox / "processing") == {"long.json"}

    second = start(engine="lasting")
    second.wait_for_all({"event": "pair done already", "pair": "p0"}, {"event": "pair started", "pair": "p1"})
    assert not (tmp_path / "outbox" / "long" / "p1.json").exists()


def test_two_runners_share_an_inbox(start: Start, inbox: Path) -> None:
    for number in range(12):
        drop(inbox, f"m{number}", QUICK)
    runners = [start("--once"), start("--once")]
    assert [runner.finish() for runner in runners] == [0, 0]
    assert sum(runner.count("pair done") for runner in runners) == 12
    assert sum(runner.count("pair done already") for runner in runners) == 0
    assert len(names(inbox / "done")) == 12


def test_two_runs_of_one_manifest_do_not_publish_at_the_same_time(inbox: Path, tmp_path: Path) -> None:
    drop(inbox, "m", ENDLESS)
    command = ("run", inbox / "m.json", "--outbox", tmp_path / "outbox")
    with Runner(*command, engine="lasting") as first:
        first.wait_for("pair started")
        with Runner(*command, engine="lasting", timing={"lease": 0.5}) as second:
            assert second.finish() == 1
        waiting, refused = second.events[:2]
        assert waiting["event"].endswith("another process publishes there; waiting for its end")
        assert "another process publishes there; start this one when that has ended" in refused["message"]


def test_a_signal_during_a_long_search_hands_the_manifest_back(inbox: Path, tmp_path: Path) -> None:
    for number in range(3000):
        (inbox / f"{number}.png").touch()
    patterns = [f"*{number}.png" for number in range(1000)]
    (inbox / "m.json").write_text(json.dumps({"product": {"content": patterns, "style": ["style.png"]}}))
    places = ("--inbox", inbox, "--outbox", tmp_path / "outbox")
    with Runner("watch", *places, timing={"slow": 0.05}, engine="fake") as runner:
        runner.wait_for("the search for the images of a manifest takes long; it goes on", manifest="m")
        runner.process.send_signal(signal.SIGTERM)
        assert runner.finish() == 128 + signal.SIGTERM
        assert runner.count("manifest refused") == 0
    assert (inbox / "m.json").exists()
