"""Metrics for Prometheus. `docs/operations.md` has a table of them."""

import platform
import threading
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

import nst
from pipeline.events.listener import (
    BatchBegan,
    BatchEnded,
    Evaluated,
    Event,
    Failed,
    ManifestEnded,
    ManifestLeft,
    ManifestStarted,
    Note,
    PairDone,
    Scanned,
    StoreUnavailable,
    TileComputed,
    WatchBegan,
)

_BUCKETS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800)  # upper bounds, in seconds
_PAIRS, _MANIFESTS = ("done", "done_already", "failed"), ("done", "failed", "left")
_PROGRESS = (Evaluated, TileComputed, PairDone, Failed, ManifestStarted, ManifestEnded, BatchBegan)
_WINDOW = 60.0  # seconds over which the share of the time is taken in which the device is busy


class Busy:
    """The batches on devices, and the share of the time in which a device had one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        self._clock, self._start = clock, clock()
        self._batches: deque[tuple[float, float, str]] = deque()  # begin, end, device; the oldest first
        self._now: dict[str, tuple[float, int]] = {}  # by device, begin and pairs of its batch

    @property
    def pairs(self) -> int:
        """How many pairs all devices compute now."""
        return sum(pairs for _, pairs in self._now.values())

    def begin(self, pairs: int, device: str) -> None:
        """A batch begins."""
        self._now[device] = self._clock(), pairs

    def end(self, device: str) -> None:
        """The batch of a device ends."""
        now = self._clock()
        if found := self._now.pop(device, None):
            self._batches.append((found[0], now, device))
        while self._batches and self._batches[0][1] < now - _WINDOW:
            self._batches.popleft()

    def ratio(self) -> float:
        """Share, in 0..1, of the last minute, or of the time since the start if that is shorter.

        It is the mean of those devices that had a batch in this time.
        """
        now = self._clock()
        since = max(self._start, now - _WINDOW)
        spans = [*self._batches, *((begin, now, device) for device, (begin, _) in self._now.items())]
        recent = [(max(begin, since), end, device) for begin, end, device in spans if end > since]
        if not recent:
            return 0.0
        devices = {device for _, _, device in recent}
        return sum(end - begin for begin, end, _ in recent) / (now - since) / len(devices)


class Metrics(Collector):
    """A listener that counts. It costs a lock and an addition per event.

    Prometheus' own counters are not used, because each of them would add a series with its time of creation.
    """

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives the seconds for `nst_device_busy_ratio`."""
        self._lock = threading.Lock()
        # Outcomes that have not happened are there from the start: a rate needs a value before the first one.
        self._pairs, self._manifests = (
            Counter(dict.fromkeys(_PAIRS, 0)),
            Counter(dict.fromkeys(_MANIFESTS, 0)),
        )
        self._evaluations = self._claims_lost = self._retries = 0
        self._durations, self._seconds = [0] * (len(_BUCKETS) + 1), 0.0
        self._inbox: Scanned | None = None
        self._clock, self._busy = clock, Busy(clock)
        self._progress = time.time()
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def text(self) -> bytes:
        """All metrics in the text format of Prometheus; its type is `content_type`."""
        return generate_latest(self.registry)

    def close(self) -> None:
        """The device is not busy any more, whatever ended the work, and nobody looks at the inbox."""
        with self._lock:
            self._busy, self._inbox = Busy(self._clock), None

    def hear(self, event: Event) -> None:
        with self._lock:
            match event:
                case Evaluated():
                    self._evaluations += 1
                case PairDone(_, record, computed):
                    self._pairs["done" if computed else "done_already"] += 1
                    if computed:
                        self._durations[bisect_left(_BUCKETS, record.seconds)] += 1
                        self._seconds += record.seconds
                case Failed(_, problem):
                    self._pairs["failed"] += bool(problem.id)  # without an id, the manifest was refused
                case ManifestEnded(_, problems):
                    self._manifests["failed" if problems else "done"] += 1
                case ManifestLeft():
                    self._manifests["left"] += 1
                    self._claims_lost += event.claim_lost
                case BatchBegan(pairs, device):
                    self._busy.begin(pairs, device)
                case BatchEnded(device):
                    self._busy.end(device)
                case Scanned():
                    self._inbox = event
                case StoreUnavailable():
                    self._retries += 1
                case TileComputed() | ManifestStarted() | WatchBegan() | Note():
                    pass
            if isinstance(event, _PROGRESS):
                self._progress = time.time()

    def collect(self) -> Iterator[Metric]:
        """All metrics as they are at one moment."""
        with self._lock:
            return iter(list(self._families()))

    def _families(self) -> Iterator[Metric]:
        yield _counts("nst_pairs", "Pairs that are done, were done already, or have failed.", self._pairs)
        yield _counts("nst_manifests", "Manifests that have ended, or were left to others.", self._manifests)
        yield CounterMetricFamily(
            "nst_evaluations", "Evaluations of the objective, counted for each pair.", self._evaluations
        )
        bounds = [*map(str, map(float, _BUCKETS)), "+Inf"]
        yield HistogramMetricFamily(
            "nst_pair_duration_seconds",
            "Seconds of the device that a computed pair took: its share of the time of its batch.",
            list(zip(bounds, accumulate(self._durations), strict=True)),
            self._seconds,
        )
        yield GaugeMetricFamily("nst_batch_pairs", "Pairs that the devices compute now.", self._busy.pairs)
        yield GaugeMetricFamily(
            "nst_device_busy_ratio",
            "Share of the last minute in which the device computed a batch.",
            self._busy.ratio(),
        )
        inbox = GaugeMetricFamily(
            "nst_inbox_manifests", "Manifests in the inbox, as the last scan found them.", labels=["state"]
        )
        if self._inbox:
            inbox.add_metric(["waiting"], self._inbox.waiting)
            inbox.add_metric(["processing"], self._inbox.processing)
        yield inbox
        yield CounterMetricFamily(
            "nst_claims_lost", "Claims that this process has lost to other runners.", self._claims_lost
        )
        yield CounterMetricFamily(
            "nst_store_retries", "Tries that failed because a store was unavailable.", self._retries
        )
        yield GaugeMetricFamily(
            "nst_last_progress_timestamp_seconds",
            "When something of the work was last done, or when the process began.",
            self._progress,
        )
        build = GaugeMetricFamily("nst_build_info", "Versions.", labels=["version", "python"])
        build.add_metric([nst.__version__, platform.python_version()], 1)
        yield build


def _counts(name: str, documentation: str, counts: Counter[str]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, documentation, labels=["outcome"])
    for outcome, count in counts.items():
        family.add_metric([outcome], count)
    return family
