"""What the metrics say after a runner has worked, and while it works."""

import re
import threading
from pathlib import Path

import pytest

from pipeline.engines.base import Failed, Task
from pipeline.errors import Problem, UnavailableError
from pipeline.events.listener import (
    BatchBegan,
    BatchEnded,
    Evaluated,
    ManifestLeft,
    PairDone,
    Scanned,
    StoreUnavailable,
    TileComputed,
)
from pipeline.events.metrics import Metrics
from pipeline.inbox.inbox import Inbox
from tests.pipeline.events.samples import samples
from tests.pipeline.work.conftest import Shop

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
PAIRS, MANIFESTS = "nst_pairs_total", "nst_manifests_total"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def outcomes(metrics: Metrics, name: str) -> dict[str, float]:
    """The values of a metric that are not 0, by the value of its label."""
    found = {}
    for sample, value in samples(metrics.text()).items():
        if value and (match := re.fullmatch(rf'{name}{{\w+="(\w+)"}}', sample)):
            found[match[1]] = value
    return found


def test_pairs_and_manifests_are_counted_by_their_outcome(metrics: Metrics) -> None:
    def fail(task: Task) -> Failed | None:
        bad = (task.manifest, task.pair.id) == ("mixed", "p1")
        return Failed(task, Problem(task.pair.place, "too bad", task.pair.id)) if bad else None

    runner = Shop(before=fail, hearing=[metrics])
    runner.drop("mixed", 3)
    runner.drop("good", 2)
    runner.inbox.write("refused.json", b"[]")
    runner.work()
    assert outcomes(metrics, PAIRS) == {"done": 4, "failed": 1}
    assert outcomes(metrics, MANIFESTS) == {"done": 1, "failed": 2}
    again = Shop(at=runner, hearing=[metrics])
    again.drop("good", 3)
    again.work()
    assert outcomes(metrics, PAIRS) == {"done": 5, "done_already": 2, "failed": 1}
    assert outcomes(metrics, MANIFESTS) == {"done": 2, "failed": 2}
    evaluated = [*runner.listener.of(Evaluated), *again.listener.of(Evaluated)]
    assert samples(metrics.text())["nst_evaluations_total"] == len(evaluated) == 5


def test_outcomes_that_have_not_happened_are_0_from_the_start(metrics: Metrics) -> None:
    found = samples(metrics.text())
    for outcome in ("done", "done_already", "failed"):
        assert found[f'{PAIRS}{{outcome="{outcome}"}}'] == 0
    for outcome in ("done", "failed", "left"):
        assert found[f'{MANIFESTS}{{outcome="{outcome}"}}'] == 0
    assert found["nst_claims_lost_total"] == found["nst_store_retries_total"] == 0
    assert not any("nst_inbox_manifests" in name for name in found)  # unknown before the first scan


def test_a_duration_is_counted_for_each_pair_that_was_computed(metrics: Metrics) -> None:
    runner = Shop()
    runner.drop("m")
    runner.work()
    (done,) = runner.listener.of(PairDone)
    for seconds in (0.5, 45.0, 60.0, 1800.0, 1801.0):
        record = done.record.model_copy(update={"seconds": seconds})
        metrics.hear(PairDone("m", record, computed=True))
        metrics.hear(PairDone("m", record, computed=False))
    found = samples(metrics.text())
    counts = {bound: found[f'nst_pair_duration_seconds_bucket{{le="{bound}"}}'] for bound in bounds(found)}
    assert counts["1.0"] == counts["30.0"] == 1
    assert counts["60.0"] == counts["1200.0"] == 3
    assert counts["1800.0"] == 4
    assert counts["+Inf"] == found["nst_pair_duration_seconds_count"] == 5
    assert found["nst_pair_duration_seconds_sum"] == 0.5 + 45 + 60 + 1800 + 1801


def bounds(found: dict[str, float]) -> list[str]:
    return [match[1] for name in found if (match := re.search(r'_bucket{le="(.*)"}', name))]


def test_the_batch_on_the_device_is_shown_while_it_is_computed(metrics: Metrics) -> None:
    begun, shown = threading.Event(), threading.Event()

    def hold(task: Task) -> None:
        begun.set()
        assert shown.wait(60)

    runner = Shop(before=hold, hearing=[metrics])
    runner.drop("m")
    thread = runner.in_background()
    assert begun.wait(60)
    found = samples(metrics.text())
    shown.set()
    thread.join(60)
    assert found["nst_batch_pairs"] == 1
    assert found["nst_device_busy_ratio"] > 0
    assert samples(metrics.text())["nst_batch_pairs"] == 0


def test_the_busy_ratio_is_that_of_the_last_minute() -> None:
    now = 1000.0
    metrics = Metrics(lambda: now)

    def ratio() -> float:
        return samples(metrics.text())["nst_device_busy_ratio"]

    assert ratio() == 0
    now = 1010
    metrics.hear(BatchBegan(16))
    now = 1040
    assert ratio() == 30 / 40  # of the time since the start
    metrics.hear(BatchEnded())
    now = 1080
    assert ratio() == 20 / 60
    metrics.hear(BatchBegan(1))
    now = 1090
    metrics.hear(BatchEnded())
    now = 1095
    assert ratio() == (5 + 10) / 60
    now = 1300
    metrics.hear(BatchBegan(4))
    assert ratio() == 0
    now = 1400
    assert ratio() == 1
    metrics.hear(Scanned(3, 1))
    metrics.close()
    found = samples(metrics.text())
    assert found["nst_device_busy_ratio"] == found["nst_batch_pairs"] == 0
    assert not any(name.startswith("nst_inbox_manifests") for name in found)  # others may work on them
    metrics.hear(BatchBegan(1))
    now = 1410
    assert ratio() == 1


def test_several_devices_are_counted_together() -> None:
    now = 1000.0
    metrics = Metrics(lambda: now)
    for device in ("1", "2"):
        metrics.hear(BatchBegan(4, device))
    assert samples(metrics.text())["nst_batch_pairs"] == 8
    now = 1020
    metrics.hear(BatchEnded("1"))
    assert samples(metrics.text())["nst_batch_pairs"] == 4
    now = 1040
    metrics.hear(BatchEnded("2"))
    assert samples(metrics.text())["nst_device_busy_ratio"] == (20 / 40 + 40 / 40) / 2


def test_the_inbox_is_shown_as_the_last_scan_found_it(metrics: Metrics) -> None:
    runner = Shop(hearing=[metrics])
    for name in "abc":
        runner.drop(name)
    assert runner.inbox.claim("a.json", "processing/a.json")
    runner.feed.scan()
    assert outcomes(metrics, "nst_inbox_manifests") == {"waiting": 2, "processing": 1}
    runner.inbox.remove("b.json")
    runner.feed.scan()
    assert outcomes(metrics, "nst_inbox_manifests") == {"waiting": 1, "processing": 1}


@pytest.mark.parametrize(("way", "lost"), [("taken over", 1), ("cancelled", 0)])
def test_a_claim_is_lost_to_another_runner_and_not_to_a_person(metrics: Metrics, way: str, lost: int) -> None:
    taken_over: list[object] = []

    def lose(task: Task) -> None:
        if task.pair.id == "p1" and way == "cancelled":
            Inbox(runner.inbox).cancel("m")
        elif task.pair.id == "p1":
            runner.inbox.abandon("processing/m.json")
            taken_over.append(runner.inbox.claim("m.json", "processing/m.json"))

    runner = Shop(before=lose, hearing=[metrics])
    runner.drop("m", 3)
    runner.work()
    assert outcomes(metrics, MANIFESTS) == {"left": 1}
    assert samples(metrics.text())["nst_claims_lost_total"] == lost


def test_each_try_that_meets_an_unavailable_store_is_counted(metrics: Metrics) -> None:
    faults = [UnavailableError("memory: out of reach") for _ in range(3)]

    def refuse(verb: str, key: str) -> None:
        if verb in ("write", "replace") and faults:
            raise faults.pop()

    runner = Shop(hearing=[metrics])
    runner.outbox.before = refuse
    runner.drop("m")
    runner.work()
    assert outcomes(metrics, PAIRS) == {"done": 1}
    assert samples(metrics.text())["nst_store_retries_total"] == 3


def test_scans_and_faults_are_no_progress(metrics: Metrics) -> None:
    def progress() -> float:
        return samples(metrics.text())["nst_last_progress_timestamp_seconds"]

    start = progress()
    for event in (Scanned(3, 0), StoreUnavailable("memory: out of reach", again=True), ManifestLeft("m", "")):
        metrics.hear(event)
        assert progress() == start
    runner = Shop(hearing=[metrics])
    runner.drop("m")
    runner.work()
    assert progress() > start


def test_a_tile_is_progress(metrics: Metrics) -> None:
    name = "nst_last_progress_timestamp_seconds"
    start = samples(metrics.text())[name]
    metrics.hear(TileComputed())
    assert samples(metrics.text())[name] > start


def test_the_number_of_series_does_not_grow_with_manifests_and_pairs(metrics: Metrics) -> None:
    runner = Shop(hearing=[metrics])
    runner.drop("first")
    runner.work()
    series = samples(metrics.text()).keys()
    more = Shop(at=runner, hearing=[metrics])
    for number in range(20):
        more.drop(f"m{number}", 3)
    more.work()
    assert samples(metrics.text()).keys() == series


def test_two_sets_of_metrics_do_not_share_anything() -> None:
    first, second = Metrics(), Metrics()
    first.hear(Scanned(3, 4))
    assert outcomes(first, "nst_inbox_manifests") == {"waiting": 3, "processing": 4}
    assert outcomes(second, "nst_inbox_manifests") == {}


def test_the_documentation_lists_all_metrics_and_no_others(metrics: Metrics) -> None:
    named = re.findall(r"^\| `(nst_\w+)", OPERATIONS.read_text(), re.MULTILINE)
    kept = re.findall(rb"^# TYPE (nst_\w+)", metrics.text(), re.MULTILINE)
    assert sorted(named) == sorted(name.decode() for name in kept)
