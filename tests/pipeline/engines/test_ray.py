"""The engine on a Ray cluster: pictures, deaths, cancelling, stopping, and what it refuses."""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import nst
from nst import Stylizer
from pipeline.engines.base import Engine, Failed, Finished, Outcome, Task
from pipeline.engines.fake import FakeEngine
from pipeline.engines.local import LocalEngine
from pipeline.engines.making import make_engine
from pipeline.errors import UsageError
from pipeline.events import listener as events
from pipeline.events.listener import BatchBegan, BatchEnded, Evaluated, Note, PairDone
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work import watch
from pipeline.work.session import Session
from tests.conftest import SHALLOW, make_picture
from tests.pipeline.engines.conftest import CPUS
from tests.pipeline.engines.test_local import outcomes, tasks
from tests.process import Runner
from tests.ray_cluster import Node

ray = pytest.importorskip("ray")
# Actors can't import this module.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
OnRay = Callable[..., Engine]
Before = Callable[[Task], Outcome | None]


def local(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    return LocalEngine(settings, stores, timing)


def fake(before: Before = lambda task: None) -> Callable[[Settings, Stores, Timing], Engine]:
    """Makes engines without a device, see `FakeEngine`; `before` runs in the actor."""
    return lambda settings, stores, timing: FakeEngine(stores, before)


def manifest(folder: Path, pairs: int) -> Path:
    """A manifest of so many small pairs, called p0, p1, ..."""
    pair = {"content": "content.png", "style": "style.png", "max_size": 32, "epochs": 1, **SHALLOW}
    listed = [{"id": f"p{n}", "seed": n, **pair} for n in range(pairs)]
    path = folder / "m.json"
    path.write_text(json.dumps({"pairs": listed}))
    return path


def work(path: Path, engine: Engine, stores: Stores, listener: RecordingListener) -> int:
    """Do what `run` does with one manifest; its exit code."""
    outbox = Outbox(stores.outbox(str(path.parent / "out")))
    return watch.run([path], engine, outbox, stores, [], Session(listener))


def test_pictures_are_those_of_the_local_engine(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    listed = tasks(folder, ["content.png"] * 5)
    listed.append(replace(tasks(folder, ["gone.png"])[0], number=5))
    found = outcomes(on_ray(local), listed)
    here = LocalEngine(Settings(device="cpu", dtype="fp32"), Stores())
    here.start(RecordingListener(), lambda: None, Previews())
    expected = outcomes(here, listed)
    here.close()
    assert isinstance(found[5], Failed)
    assert found[5].problem == expected[5].problem  # type: ignore[union-attr]
    for ours, theirs in zip(found[:5], expected[:5], strict=True):
        assert isinstance(ours, Finished)
        assert isinstance(theirs, Finished)
        assert ours.picture == theirs.picture
        assert ours.thumbnails == theirs.thumbnails
        assert ours.record.node == theirs.record.node == os.uname().nodename
    assert {event.pair for event in listener.of(Evaluated) if event.evaluation.step == 1} == {*"01234"}
    assert {note.details["device"] for note in listener.of(Note) if note.message == "ready"} == {"cpu"}


@pytest.mark.long
def test_pairs_of_one_shape_share_a_batch(on_ray: OnRay, folder: Path, listener: RecordingListener) -> None:
    class Wide(Stylizer):
        """Has batches of four pairs."""

        def capacity(self, pair: object) -> int:
            return 4

    def wide(settings: Settings, stores: Stores, timing: Timing) -> Engine:
        return LocalEngine(settings, stores, timing, lambda s: Wide(s.weights, s.device, s.dtype))

    make_picture(48, 48, seed=3).save(folder / "square.png")
    engine = on_ray(wide)
    found = outcomes(engine, tasks(folder, ["content.png", "square.png"] * 10))
    assert all(isinstance(outcome, Finished) for outcome in found)
    assert engine.batch > 1
    assert max(event.pairs for event in listener.of(BatchBegan)) == 4


def test_processes_that_die_lose_and_double_nothing_and_a_pair_that_kills_three_fails(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    deaths = folder / "deaths"

    def before(task: Task) -> None:
        once = folder / f"{task.pair.id}.killed"
        if task.pair.id == "p5":
            with deaths.open("a") as file:
                file.write("x")
            os.kill(os.getpid(), signal.SIGKILL)
        if task.pair.id in ("p9", "p14") and not once.exists():
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    stores = Stores()
    engine = on_ray(fake(before), stores=stores, start=False)
    assert work(manifest(folder, 20), engine, stores, listener) == 1
    (failed,) = listener.of(events.Failed)
    assert failed.problem.id == "p5"
    assert failed.problem.message.startswith(
        f"3 engines in a row have died with it (its process on {os.uname().nodename} has died)"
    )
    assert len(deaths.read_text()) == 3
    assert len(list(folder.glob("*.killed"))) == 2
    others = sorted(f"p{n}" for n in range(20) if n != 5)
    assert sorted(done.record.id for done in listener.of(PairDone)) == others
    assert sorted(path.stem for path in (folder / "out" / "m").glob("p*.png")) == others


class Held:
    """Lets tasks of a fake engine in an actor wait for a file, and lists those that have begun."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, task: Task) -> None:
        (self.folder / f"{os.getpid()}-{task.number}.begun").touch()
        while not (self.folder / "released").exists():
            time.sleep(0.01)

    def begun(self) -> list[Path]:
        return list(self.folder.glob("*.begun"))


def test_a_cancelled_manifest_has_no_outcomes_and_a_stopped_engine_gives_the_end(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    held = Held(folder)
    engine = on_ray(fake(held))
    listed = tasks(folder, ["content.png"] * 24)
    for task in listed[:12]:
        engine.submit(task)
    listener.wait_for(BatchBegan)
    engine.cancel("m")
    (folder / "released").touch()
    found = outcomes(engine, [replace(task, manifest="n") for task in listed[12:]])
    assert [outcome.task.number for outcome in found] == list(range(12, 24))
    assert len(held.begun()) < 24
    (folder / "released").unlink()
    for task in listed:
        engine.submit(replace(task, manifest="o", number=100 + task.number))
    while not any(int(path.stem.partition("-")[2]) >= 100 for path in held.begun()):
        time.sleep(0.01)
    engine.stop()  # although its processes are busy
    assert engine.take() is None


class Shown(FakeEngine):
    """Waits with each task until somebody watches its pair, and then gives a preview of it."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores, self._show)

    def start(self, listener: events.Listener, on_change: Callable[[], None], previews: Previews) -> None:
        self._here = previews
        super().start(listener, on_change, previews)

    def _show(self, task: Task) -> None:
        while (task.manifest, task.pair.id) not in self._here.watched():
            time.sleep(0.01)
        self._here.put(task.manifest, task.pair.id, b"a JPEG")


def test_a_preview_of_a_pair_that_somebody_watches_comes_from_its_actor(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    previews = Previews()
    engine = on_ray(lambda settings, stores, timing: Shown(stores), start=False)
    engine.start(listener, lambda: None, previews)
    (task,) = tasks(folder, ["content.png"])
    engine.submit(task)
    while (jpeg := previews.watch("m", task.pair.id)) is None:
        time.sleep(0.01)
    assert jpeg == b"a JPEG"
    assert isinstance(engine.take(), Finished)


@pytest.mark.long
@pytest.mark.parametrize("end", [Node.kill, Node.stop])
def test_the_pairs_of_a_machine_that_is_taken_away_are_done_without_a_death(
    end: Callable[[Node], None], on_ray: OnRay, cluster: str, folder: Path, listener: RecordingListener
) -> None:
    held = Held(folder)
    engine = on_ray(fake(held))
    with Node(cluster) as node:
        listener.wait_for(Note, lambda _: len(ready_notes(listener)) > CPUS, timeout=300)
        for task in (listed := tasks(folder, ["content.png"] * 9)):
            engine.submit(task)
        listener.wait_for(BatchBegan, lambda _: len({e.device for e in listener.of(BatchBegan)}) > CPUS)
        end(node)
    listener.wait_for(BatchEnded)  # no task can end before the release, only the batch of a lost process
    (folder / "released").touch()
    found = [engine.take() for _ in listed]
    assert all(isinstance(outcome, Finished) for outcome in found)
    assert {outcome.task.number for outcome in found if outcome} == set(range(9))


@pytest.mark.long
def test_a_machine_that_vanishes_while_its_engine_starts_is_not_refused(
    on_ray: OnRay, cluster: str, folder: Path, listener: RecordingListener
) -> None:
    started, hangs = folder / "started", folder / "hangs"

    def third_hangs(settings: Settings, stores: Stores, timing: Timing) -> Engine:
        with started.open("a") as file:
            file.write("x")
        if len(started.read_text()) == CPUS + 1:
            hangs.touch()
            time.sleep(3600)
        return FakeEngine(stores)

    on_ray(third_hangs)
    listener.wait_for(Note, lambda _: len(ready_notes(listener)) == CPUS, timeout=300)
    with Node(cluster):
        while not hangs.exists():
            time.sleep(0.01)
    with Node(cluster):
        listener.wait_for(Note, lambda _: len(ready_notes(listener)) == CPUS + 1, timeout=300)
    assert not [note.message for note in listener.of(Note) if note.level != "info"]


def ready_notes(listener: RecordingListener) -> list[Note]:
    return [note for note in listener.of(Note) if note.message == "ready"]


@pytest.mark.long
@pytest.mark.parametrize("where", ["joined", "started"])
def test_processes_end_with_their_owner_and_the_next_runner_takes_over(
    where: str, cluster: str, folder: Path
) -> None:
    inbox = folder / "in"
    inbox.mkdir()
    for name in ("content.png", "style.png"):
        (folder / name).rename(inbox / name)
    manifest(inbox, 6)
    address = ["--ray-address", cluster] if where == "joined" else []
    command: list[str | Path] = ["watch", "--inbox", inbox, "--outbox", folder / "out", "--once"]
    with Runner(*command, "--engine", "ray", *address, engine="held") as owner:
        owner.wait_for("manifest started")
        while not (begun := Held(inbox).begun()):
            owner_lives = owner.process.poll() is None
            assert owner_lives
        owner.kill()
    processes = {int(path.name.partition("-")[0]) for path in begun}
    for process in processes:
        wait_until_gone(process)
    with Runner(*command, engine="fake") as runner:
        assert runner.finish() == 0
        assert runner.count("pair done") == 6
    assert (inbox / "done" / "m.json").exists()


def wait_until_gone(process: int) -> None:
    """Wait until a process has ended; a zombie has."""
    while True:
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return
        if state == "Z":
            return
        time.sleep(0.05)


@pytest.mark.long
def test_a_signal_hands_the_manifest_back(cluster: str, folder: Path) -> None:
    inbox = folder / "in"
    inbox.mkdir()
    for name in ("content.png", "style.png"):
        (folder / name).rename(inbox / name)
    manifest(inbox, 6)
    command: list[str | Path] = ["watch", "--inbox", inbox, "--outbox", folder / "out", "--engine", "ray"]
    with Runner(*command, "--ray-address", cluster, engine="held") as runner:
        runner.wait_for("manifest started")
        runner.process.terminate()
        assert runner.finish() == 128 + signal.SIGTERM
        assert runner.count("manifest handed back") == 1
    assert (inbox / "m.json").exists()


def test_no_gpu_is_reported_and_waited_for(on_ray: OnRay, folder: Path, listener: RecordingListener) -> None:
    engine = on_ray(fake(), Timing(ray_missing=0.0), start=False, device="cuda")
    arguments = listener, lambda: None, Previews()
    thread = threading.Thread(target=engine.start, args=arguments, daemon=True)
    thread.start()
    note = listener.wait_for(Note, lambda note: note.level == "warning")
    assert note.message.startswith("no GPU is free: the Ray cluster has 0 GPUs")
    assert thread.is_alive()
    engine.stop()
    thread.join(60)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ray_address": "127.0.0.1:1"}, r"--ray-address 127.0.0.1:1: there is no Ray cluster \(.*refused"),
        ({"ray_address": "nowhere.invalid:6379"}, "nowhere.invalid:6379: there is no Ray cluster"),
        ({"ray_address": "ray://head:10001"}, "should be HOST:PORT of the head node"),
        ({"device": "cuda:1"}, "gives each actor its own GPU; give --device cuda"),
        pytest.param(
            *({"weights": "/gone.pth"}, "of the Ray cluster can't work: /gone.pth"), marks=pytest.mark.long
        ),
    ],
)
def test_what_cannot_work_is_refused_at_the_start(
    on_ray: OnRay, settings: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        on_ray(local, **settings)


def test_a_machine_that_cannot_see_the_folder_of_images_is_refused_at_the_start(
    on_ray: OnRay, folder: Path
) -> None:
    stores = Stores()
    stores.sources(str(folder / "only here"))
    with pytest.raises(UsageError, match="only here: no such folder; mount it there, at the same path"):
        on_ray(fake(), stores=stores)


@pytest.mark.long
def test_a_machine_with_another_version_is_refused(on_ray: OnRay, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = rf"it has nst-pipeline {re.escape(nst.__version__)}, and this machine has 9\.9; install"
    monkeypatch.setattr("nst.__version__", "9.9")
    with pytest.raises(UsageError, match=versions):
        on_ray(fake())


def test_a_cluster_of_another_version_of_ray_is_refused(
    on_ray: OnRay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "__version__", "9.9")
    with pytest.raises(UsageError, match=r"the cluster has other versions than this machine, .* Ray 9\.9"):
        on_ray(fake())


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pipeline.engines.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install -c constraints.txt '.\[ray\]' in a checkout"):
        make_engine(Settings(engine="ray", ray_address="head:6379"), Stores(), Timing())
