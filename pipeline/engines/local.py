"""The engine that is this process: one device, with threads that prepare before it and encode behind it."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from nst.device import device_name, dtype_name, is_out_of_memory
from nst.result import Evaluation, Result
from nst.stylizer import Stylizer
from pipeline.engines.base import Changed, Died, Outcome, Task, Unchanged
from pipeline.engines.encode import Encoder
from pipeline.engines.outcomes import Outcomes, unencoded_bytes
from pipeline.engines.pool import Pool, Ready
from pipeline.engines.prepare import Prepared, Preparer
from pipeline.engines.prepare_threads import PrepareThreads
from pipeline.engines.previewing import preview_callbacks
from pipeline.engines.side_by_side import chosen, remembered
from pipeline.engines.stylizer import make_stylizer
from pipeline.engines.tiled import note_of_tiles
from pipeline.engines.wording import failed
from pipeline.errors import EngineLostError, StoppedError
from pipeline.events.listener import BatchBegan, BatchEnded, Evaluated, Listener, Note, TileComputed
from pipeline.events.previews import Previews
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing


class LocalEngine:
    """Computes on one device of this process."""

    def __init__(
        self,
        settings: Settings,
        stores: Stores,
        timing: Timing = Timing(),
        make: Callable[[Settings], Stylizer] = make_stylizer,
    ) -> None:
        """`make` makes the stylizer, when the engine starts."""
        self._settings, self._stores, self._timing, self._make = settings, stores, timing, make
        self._stop = threading.Event()
        self._outcomes = Outcomes()
        self._changed = threading.Condition()  # guards the pool and the batch
        self._batch: Sequence[Ready] = ()  # on the device now
        self._cancelled: set[int] = set()  # numbers of tasks of this batch
        self._device: threading.Thread | None = None

    def start(self, listener: Listener, on_change: Callable[[], None], previews: Previews) -> None:
        self._stylizer = self._make(self._settings)
        self._listener, self._on_change, self._previews = listener, on_change, previews
        self._pool = Pool(self._stylizer.capacity)
        self._preparer = Preparer(self._stylizer.weights.sha256, self._settings.most_pixels)
        self._encoder = Encoder(self._stylizer)
        self._preparing = PrepareThreads(
            self._pool, self._changed, self._prepare, self._outcomes, listener, on_change, self._timing
        )
        self._encoding = ThreadPoolExecutor(1, "encode")
        self._device = threading.Thread(target=self._work, name="device", daemon=True)
        self._device.start()
        device, dtype = device_name(self._stylizer.device), dtype_name(self._stylizer.dtype)
        listener.hear(Note("ready", details={"device": device, "dtype": dtype}))

    @property
    def batch(self) -> int:
        return self._pool.batch

    @property
    def begun(self) -> int:
        return 3 * self._pool.batch  # one batch is computed, two are prepared

    def wanted(self) -> int:
        with self._changed:
            return 0 if self._outcomes.full else self._pool.wanted

    def submit(self, task: Task) -> None:
        with self._changed:
            self._pool.add(task)
        self._preparing.begin()

    def flush(self) -> None:
        with self._changed:
            self._pool.complete = True
            self._changed.notify_all()

    def take(self) -> Outcome | None:
        outcome = self._outcomes.take()
        self._on_change()
        return outcome

    def cancel(self, manifest: str) -> None:
        with self._changed:
            self._pool.cancel(manifest)
            self._cancelled |= {e.task.number for e in self._batch if e.task.manifest == manifest}
            self._changed.notify_all()
        self._on_change()

    def stop(self) -> None:
        if self._device is None or self._stop.is_set():
            return
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
        self._preparing.stop()
        # Behind the pictures that are being encoded, which are not lost.
        self._encoding.submit(self._outcomes.put, None)

    def close(self) -> None:
        self.stop()
        if self._device:
            self._device.join()
            self._preparing.close()
            self._encoding.shutdown()

    def _prepare(self, task: Task) -> Prepared | Unchanged | Changed:
        sources = self._stores.sources(task.base, task.allowed)
        found = self._preparer.prepare_unless_known(task, sources)
        if isinstance(found, Prepared):
            self._stylizer.plan(found.pair)  # raises an error if there is too little memory
            for note in found.notes:
                details = {"manifest": task.manifest, "pair": task.pair.id}
                self._listener.hear(Note(f"{task.pair.place or task.manifest}: {note}", "warning", details))
        return found

    def _work(self) -> None:
        """In the device's thread: one batch after the other."""
        try:
            number = remembered(self._stylizer)
            while not self._stop.is_set():
                with self._changed:
                    several = self._pool.several
                if number is None and several:
                    number = chosen(self._stylizer, self._check, self._listener)
                self._stylizer.side_by_side = number or 1
                if batch := self._next_batch():
                    self._transfer(batch)
        except StoppedError:
            pass
        except Exception as error:
            gone = isinstance(error, torch.AcceleratorError)
            what = "the GPU has failed; only a new process can use it" if gone else "the engine has failed"
            # Behind the pictures that are being encoded, which are not lost.
            for entry in self._batch:
                self._encoding.submit(self._outcomes.put, Died(entry.task, what))
            self._encoding.submit(self._outcomes.put, EngineLostError(f"{what}: {error}"))

    def _next_batch(self) -> Sequence[Ready]:
        """Wait for a batch; it is empty if there is none yet, or if the engine was stopped."""
        with self._changed:
            self._cancelled.clear()
            leader, room = self._pool.leader(), self._pool.batch
            self._batch = [leader] if leader else []  # gets `Died` if it kills the device now
            self._batch = batch = self._pool.take()
            more = self._pool.batch > room
            if not (batch or more or self._stop.is_set()):
                self._changed.wait()
        if batch or more:
            self._on_change()
        return batch

    def _transfer(self, batch: Sequence[Ready]) -> None:
        failure = None
        try:
            results = self._results(batch)
        except _CancelledError:
            return
        except Exception as error:
            fatal = isinstance(error, torch.AcceleratorError) and not is_out_of_memory(error)
            if fatal or isinstance(error, StoppedError):
                raise
            failure = failed(batch[0].task, error)
        # The traceback held memory, which is free only out here.
        if failure and len(batch) > 1:
            # The memory is too small, or one of the pairs is bad: smaller batches show which.
            self._transfer(batch[: len(batch) // 2])
            self._transfer(batch[len(batch) // 2 :])
            return
        if failure:
            self._outcomes.put(failure)
        else:
            for entry, result in zip(batch, results, strict=True):
                if entry.task.number not in self._cancelled:
                    size = unencoded_bytes(entry.prepared, result)
                    self._outcomes.expect(size)
                    self._encoding.submit(self._encode, entry, result, size)
        # These have their outcomes, whatever becomes of the rest of a batch that was halved.
        with self._changed:
            self._batch = [entry for entry in self._batch if entry not in batch]

    def _results(self, batch: Sequence[Ready]) -> list[Result]:
        pairs = [entry.prepared.pair for entry in batch]
        tasks = [entry.task for entry in batch]

        def check() -> None:
            self._check()
            if self._cancelled.issuperset(task.number for task in tasks):
                raise _CancelledError

        def on_evaluation(index: int, evaluation: Evaluation) -> None:
            check()
            if tasks[index].number not in self._cancelled:
                self._listener.hear(Evaluated(tasks[index].manifest, tasks[index].pair.id, evaluation))

        def on_tile() -> None:
            check()
            self._listener.hear(TileComputed())

        self._stylizer.targets.on_tile = on_tile
        if note := note_of_tiles(self._stylizer, tasks[0], pairs[0]):
            self._listener.hear(note)
        previews = preview_callbacks(tasks, self._previews, self._timing.preview, self._cancelled)
        self._listener.hear(BatchBegan(len(pairs)))
        try:
            return self._stylizer.run(pairs, on_evaluation, previews)
        finally:
            self._listener.hear(BatchEnded())

    def _check(self) -> None:
        if self._stop.is_set():
            raise StoppedError

    def _encode(self, entry: Ready, result: Result, size: int) -> None:
        outcome: Outcome
        try:
            outcome = self._encoder.encode(entry.task, entry.prepared, result)
        except Exception as error:
            outcome = failed(entry.task, error)
        self._outcomes.put_encoded(outcome, size)
        self._on_change()


class _CancelledError(Exception):
    """Every pair of the batch was cancelled."""
