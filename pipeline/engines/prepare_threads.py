"""The threads that prepare the tasks of a pool, and retry later those whose images are unavailable."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from pipeline.engines.base import Changed, Failed, Task, Unchanged, Unread
from pipeline.engines.outcomes import Outcomes
from pipeline.engines.pool import Pool, Unprepared
from pipeline.engines.prepare import Prepared
from pipeline.engines.wording import failed
from pipeline.errors import UnavailableError
from pipeline.events.listener import Listener, StoreUnavailable
from pipeline.timing import Timing

_THREADS = 2


class PrepareThreads:
    """Prepares the tasks of a pool, those of a lower rank first.

    A task whose images are unavailable is retried with backoff. Until then its thread prepares other tasks.
    """

    def __init__(
        self,
        pool: Pool,
        changed: threading.Condition,
        prepare: Callable[[Task], Prepared | Unchanged | Changed],
        outcomes: Outcomes,
        listener: Listener,
        on_change: Callable[[], None],
        timing: Timing,
    ) -> None:
        """`changed` guards the pool; it is notified, and `on_change` is called, after each attempt.

        `prepare` reads, decodes and resizes the images of a task. If it raises an error other than
        `UnavailableError`, the task has failed. What needs no device goes to `outcomes`.
        """
        self._pool, self._changed, self._read_and_resize = pool, changed, prepare
        self._outcomes, self._listener, self._on_change = outcomes, listener, on_change
        self._timing = timing
        self._threads, self._stopped = ThreadPoolExecutor(_THREADS, "prepare"), False

    def begin(self) -> None:
        """Prepare one more task of the pool. Does not wait for it, and does nothing after `stop`."""
        try:
            self._threads.submit(self._prepare)
        except RuntimeError:  # no more threads can be started, or it was stopped meanwhile
            if not self._stopped:
                raise

    def stop(self) -> None:
        """Begin with no more tasks. Does not wait for those that have begun."""
        self._stopped = True
        self._threads.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """Wait, after `stop`, for the tasks that have begun."""
        self._threads.shutdown()

    def _prepare(self) -> None:
        """In a thread: prepare the task that goes first."""
        with self._changed:
            entry = self._pool.begin()
        if entry is None:
            return  # it was cancelled
        again = entry.again
        self._attempt(entry)
        if again:
            with self._changed:
                entry.again = False
            self.begin()  # with another try that was left for this one

    def _attempt(self, entry: Unprepared) -> None:
        task = entry.task
        found: Prepared | Unchanged | Changed | Unread | Failed
        try:
            found = self._read_and_resize(task)
        except UnavailableError as error:
            if task.waits:
                self._retry_later(entry, error)
                return
            found = Unread(task, str(error))
        except Exception as error:
            found = failed(task, error)
        with self._changed:
            if isinstance(found, Prepared):
                self._pool.prepared(task.number, found)
            elif self._pool.remove(task.number):
                self._outcomes.put(found)
            self._changed.notify_all()
        self._on_change()

    def _retry_later(self, entry: Unprepared, error: UnavailableError) -> None:
        """Try again after a while. Other tasks use the thread and the device in the meantime."""
        self._listener.hear(StoreUnavailable(str(error), again=entry.tries > 0))

        def again() -> None:
            with self._changed:
                entry.begun = False
            self.begin()

        with self._changed:
            entry.tries += 1
            seconds = self._timing.retry_after(entry.tries)
            self._changed.notify_all()
        timer = threading.Timer(seconds, again)
        timer.daemon = True
        timer.start()
        self._on_change()
