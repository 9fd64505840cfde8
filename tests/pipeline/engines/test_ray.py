"""The engine on a Ray cluster: pictures, deaths, cancelling, stopping, and what it refuses."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nst import Stylizer
from pipeline.engines.base import Engine, Failed, Finished, Outcome, Task
from pipeline.engines.fake import FakeEngine
from pipeline.engines.local import LocalEngine
from pipeline.engines.making import make_engine
from pipeline.errors import UsageError
from pipeline.events import listener as events
from pipeline.events.listener import BatchBegan, Evaluated, Note, PairDone
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
from tests.pipeline.engines.test_local import tasks
from tests.process import Runner

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


def outcomes(engine: Engine, submitted: Sequence[Task]) -> list[Outcome]:
    """Submit tasks; their outcomes, in the order of their numbers."""
    for task in submitted:
        engine.submit(task)
    engine.flush()
    found = [outcome for _ in submitted if (outcome := engine.take())]
    return sorted(found, key=lambda outcome: outcome.task.number)


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


def test_pairs_of_one_shape_share_a_batch(on_ray: OnRay, folder: Path, listener: RecordingListener) -> None:
    class Wide(Stylizer):
        """Has batches of four pairs."""

        def capacity(self, pair: object) -> int:
            return 4

    def wide(settings: Settings, stores: Stores, timing: Timing) -> Engine:
        return LocalEngine(settings, stores, timing, lambda s: Wide(s.weights, s.device, s.dtype))

    make_picture(48, 48, seed=3).save(folder / "square.png")
    engine = on_ray(wide)
    found = outcomes(engine, tasks(folder, ["content.png", "square.png"] * 24))
    assert all(isinstance(outcome, Finished) for outcome in found)
    assert engine.batch > 1
    assert max(event.pairs for event in listener.of(BatchBegan)) == 4


def test_a_pair_that_kills_its_process_fails_after_three_deaths_and_all_others_are_done(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    deaths = folder / "deaths"

    def before(task: Task) -> None:
        if task.pair.id == "p5":
            with deaths.open("a") as file:
                file.write("x")
            os._exit(1)

    stores = Stores()
    engine = on_ray(fake(before), stores=stores, start=False)
    assert work(manifest(folder, 20), engine, stores, listener) == 1
    (failed,) = listener.of(events.Failed)
    assert failed.problem.id == "p5"
    assert failed.problem.message.startswith(
        f"3 engines in a row have died with it (its process on {os.uname().nodename} has died)"
    )
    assert len(deaths.read_text()) == 3
    assert sorted(done.record.id for done in listener.of(PairDone)) == sorted(
        f"p{n}" for n in range(20) if n != 5
    )


def test_processes_that_are_killed_lose_and_double_nothing(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    def before(task: Task) -> None:
        mark = folder / f"{task.pair.id}.killed"
        if task.number % 4 == 0 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    stores = Stores()
    engine = on_ray(fake(before), stores=stores, start=False)
    assert work(manifest(folder, 24), engine, stores, listener) == 0
    assert len(list(folder.glob("*.killed"))) >= 6
    assert sorted(done.record.id for done in listener.of(PairDone)) == sorted(f"p{n}" for n in range(24))
    assert len(list((folder / "out" / "m").glob("p*.png"))) == 24


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


def test_the_tasks_of_a_cancelled_manifest_have_no_outcome(
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


def test_a_stopped_engine_gives_the_end_although_its_processes_are_busy(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    engine = on_ray(fake(Held(folder)))
    for task in tasks(folder, ["content.png"] * 9):
        engine.submit(task)
    listener.wait_for(BatchBegan)
    engine.stop()
    assert engine.take() is None


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
        ({"weights": "/gone.pth"}, "of the Ray cluster can't work: /gone.pth"),
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


def test_a_machine_with_another_version_is_refused(on_ray: OnRay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nst.__version__", "9.9")
    with pytest.raises(UsageError, match=r"it has nst-pipeline 0\.1\.0, and this machine has 9\.9; install"):
        on_ray(fake())


def test_without_the_extra_the_command_to_install_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pipeline.engines.ray", raising=False)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'nst-pipeline\[ray\]'"):
        make_engine(Settings(engine="ray", ray_address="head:6379"), Stores(), Timing())


def test_a_process_of_each_cpu_works(on_ray: OnRay, folder: Path, listener: RecordingListener) -> None:
    engine = on_ray(fake(Held(folder)))
    for _ in range(CPUS):
        listener.wait_for(Note, lambda note: note.message == "ready")
    listed = tasks(folder, ["content.png"] * 2 * CPUS)
    for task in listed:
        engine.submit(task)
    listener.wait_for(BatchBegan, lambda _: len({e.device for e in listener.of(BatchBegan)}) == CPUS)
    (folder / "released").touch()
    assert len(outcomes(engine, [])) == 0
    assert {engine.take().task.number for _ in listed} == set(range(2 * CPUS))  # type: ignore[union-attr]
