"""The workers of a Ray cluster, most of them on a cluster that starts no processes."""

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

import nst
from pipeline.engines.base import Task
from pipeline.engines.mailbox import Needs, Report
from pipeline.events.listener import BatchBegan, Failed, Note, PairDone
from pipeline.events.recording import RecordingListener
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.pipeline.engines.test_dispatch import task
from tests.pipeline.engines.test_ray import OnRay, fake, manifest, work

if TYPE_CHECKING:
    from pipeline.engines.ray_staff import Staff
    from pipeline.engines.ray_worker import Worker

ray = pytest.importorskip("ray")
# Actors can't import this module.
ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])


class Calls:
    """A method of an actor, whose calls never end."""

    def options(self, **_: object) -> "Calls":
        return self

    def remote(self, *_: object) -> object:
        return object()


class Silent:
    """An actor that answers nothing."""

    def __getattr__(self, name: str) -> Calls:
        return Calls()


class Places:
    """A cluster with so many places for actors."""

    device = "cpu"

    def __init__(self, places: int) -> None:
        self.places = places

    def actor(self) -> Any:
        return Silent()

    def lack(self) -> str:
        return "no CPU is free"


def staff(cluster: Places, listener: RecordingListener | None = None, **timing: Any) -> "Staff":
    """The workers on this cluster."""
    from pipeline.engines.ray_staff import Staff

    return Staff(
        cast(Any, cluster), fake(), Settings(), Timing(**timing), [], listener or RecordingListener()
    )


def welcome(staff: "Staff", worker: "Worker") -> None:
    """A worker has found a place: its engine begins to start."""
    staff.welcome(worker, {"version": nst.__version__, "node": "n", "machine": "gpu-1"})


def give(worker: "Worker") -> None:
    """It has a task, and gets no more for now."""
    worker.send(task(1))
    worker.flush()


def begin(staff: "Staff", worker: "Worker", wanted: int = 2) -> None:
    """A worker has found a place, and its engine has started."""
    welcome(staff, worker)
    staff.began(worker, "")
    worker.take(Report(Needs(wanted=wanted)))


def test_a_worker_that_has_tasks_and_is_silent_for_too_long_hangs() -> None:
    ours = staff(Places(2), ray_stuck=0.0)
    ours.top_up(tasks_wait=False)
    idle, busy = ours.workers
    for worker in (idle, busy):
        begin(ours, worker)
    busy.send(task(1))
    assert ours.silent(counts=True) == []  # it may wait for another one to share the batch
    busy.flush()
    assert ours.silent(counts=True) == [busy]


@pytest.mark.parametrize(("counts", "timing"), [(False, {}), (True, {"asleep": 0.0})])
def test_time_in_which_no_answers_are_received_is_no_silence(counts: bool, timing: dict[str, Any]) -> None:
    """Results wait on purpose, or the owner was suspended."""
    ours = staff(Places(1), ray_stuck=0.0, **timing)
    ours.top_up(tasks_wait=False)
    begin(ours, ours.workers[0])
    give(ours.workers[0])
    assert ours.silent(counts) == []


def test_only_progress_ends_the_silence_of_a_worker() -> None:
    ours = staff(Places(1))
    ours.top_up(tasks_wait=False)
    worker = ours.workers[0]
    begin(ours, worker)
    give(worker)
    worker.pass_time(5.0)
    worker.take(Report(Needs(received=1)))
    assert worker.silent == 5.0
    worker.take(Report(Needs(received=1), events=[BatchBegan(1)]))
    assert worker.silent == 0.0


def test_a_worker_whose_engine_does_not_start_is_refused() -> None:
    listener = RecordingListener()
    ours = staff(Places(2), listener, ray_stuck=0.0)
    ours.top_up(tasks_wait=False)
    well, hangs = ours.workers
    begin(ours, well)
    welcome(ours, hangs)
    assert ours.silent(counts=True) == []
    assert hangs not in ours.workers
    (note,) = listener.of(Note)
    assert note.message == "gpu-1 of the Ray cluster can't work: its engine has not started for 0 minutes"


def test_a_worker_waits_for_a_machine_that_comes_later_until_one_works() -> None:
    """Where there is no machine yet, it lets the autoscaler start the first one."""
    ours = staff(Places(0), ray_spare=0.0)
    for _ in range(3):
        ours.top_up(tasks_wait=False)
        assert [worker.stage for worker in ours.workers] == ["waiting"]
    begin(ours, ours.workers[0])
    ours.top_up(tasks_wait=False)
    assert [worker.stage for worker in ours.workers] == ["working"]


@pytest.mark.parametrize(("tasks_wait", "wanted"), [(True, 2), (False, 0)])
def test_a_worker_waits_for_a_further_machine_only_while_there_is_more_work_than_the_others_can_take(
    tasks_wait: bool, wanted: int
) -> None:
    cluster = Places(2)
    ours = staff(cluster, ray_spare=0.0)
    ours.top_up(tasks_wait=False)
    for worker in list(ours.workers):
        begin(ours, worker, wanted)
    ours.top_up(tasks_wait)
    assert [worker.stage for worker in ours.workers] == ["working", "working", "waiting"]
    for worker in ours.workers[:2]:
        worker.take(Report(Needs(wanted=2)))
    ours.top_up(tasks_wait=False)
    assert [worker.stage for worker in ours.workers] == ["working", "working"]
    cluster.places = 4
    ours.top_up(tasks_wait=False)
    assert [worker.stage for worker in ours.workers] == ["working", "working"]
    ours.top_up(tasks_wait=True)
    assert [worker.stage for worker in ours.workers] == ["working", "working", "waiting", "waiting"]


def test_a_worker_that_was_needed_is_kept_for_a_while() -> None:
    """Between two tasks, workers can take some for a moment; and a machine needs minutes to come."""
    ours = staff(Places(1))
    ours.top_up(tasks_wait=False)
    begin(ours, ours.workers[0])
    ours.top_up(tasks_wait=True)
    before = list(ours.workers)
    assert len(before) == 2
    ours.top_up(tasks_wait=False)
    assert ours.workers == before


def test_after_a_refusal_no_worker_is_started_for_a_while() -> None:
    """It might get the same place."""
    ours = staff(Places(2))
    ours.top_up(tasks_wait=False)
    refused = ours.workers[0]
    welcome(ours, refused)
    ours.began(refused, "no GPU")
    ours.top_up(tasks_wait=True)
    assert refused not in ours.workers
    assert len(ours.workers) == 1


@pytest.mark.long
def test_a_pair_that_hangs_three_processes_fails_and_the_others_are_done(
    on_ray: OnRay, folder: Path, listener: RecordingListener
) -> None:
    begun = folder / "begun"

    def before(task: Task) -> None:
        if task.pair.id == "p5":
            with begun.open("a") as file:
                file.write("x")
            threading.Event().wait()

    stores = Stores()
    # The time has to be enough for the start of an actor, too.
    engine = on_ray(fake(before), Timing(ray_stuck=15.0, ray_refused=0.1), stores=stores, start=False)
    assert work(manifest(folder, 20), engine, stores, listener) == 1
    (failed,) = listener.of(Failed)
    assert failed.problem.id == "p5"
    assert failed.problem.message.startswith("3 engines in a row have died with it (no progress for")
    assert len(begun.read_text()) == 3
    others = sorted(f"p{n}" for n in range(20) if n != 5)
    assert sorted(done.record.id for done in listener.of(PairDone)) == others
