"""What runs in an actor of a Ray cluster: an engine of its machine, without claims and without the outbox."""

import platform
import threading
from collections.abc import Callable, Sequence

import ray

import nst
from nst.errors import NSTError
from pipeline.engines.base import Engine, Task
from pipeline.engines.mailbox import Mailbox, Needs, Report, SentPreviews
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing

Make = Callable[[Settings, Stores, Timing], Engine]


class Actor:
    """Takes tasks from its owner, and reports what has become of them.

    The owner calls `hello`, then `begin`. After that, one call of `report` always waits; the other calls come
    in order, in another thread.
    """

    def hello(self) -> dict[str, str]:
        """The version of this program, and the machine. It may not change: owners of all versions call it."""
        node = ray.get_runtime_context().get_node_id()
        return {"version": nst.__version__, "machine": platform.node(), "node": node}

    def begin(self, make: Make, settings: Settings, timing: Timing, places: Sequence[str]) -> str:
        """Start the engine. Returns why it can't work on this machine, or nothing if it can.

        `places` are the URLs of stores with images, which must be there on this machine, too.
        """
        self._count = threading.Lock()
        self._received = 0
        self._mailbox = Mailbox(self._needs, timing.ray_report)
        self._previews = SentPreviews(timing, self._mailbox)
        try:
            stores = Stores(settings.endpoint_url, timing, alone=settings.alone)
            for place in places:
                if not stores.open(place).exists():
                    return f"{place}: no such folder; mount it there, at the same path"
            self._engine = make(settings, stores, timing)
            self._engine.start(self._mailbox, self._mailbox.change, self._previews)
        except NSTError as error:
            return str(error)
        threading.Thread(target=self._take, name="take", daemon=True).start()
        self._mailbox.change()
        return ""

    def report(self) -> Report:
        """Wait until something has happened, and say what."""
        return self._mailbox.fetch()

    def submit(self, task: Task) -> None:
        """Take a task."""
        with self._count:
            self._engine.submit(task)
            self._received += 1
        self._mailbox.change()

    def flush(self) -> None:
        """No more tasks come for now."""
        self._engine.flush()

    def cancel(self, manifest: str) -> None:
        """Forget the tasks of a manifest."""
        self._engine.cancel(manifest)

    def watch(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Make previews of these pairs, for `Timing.watched` seconds."""
        for manifest, pair in pairs:
            self._previews.watch(manifest, pair)

    def stop(self) -> None:
        """End the work as soon as possible."""
        self._engine.stop()

    def _needs(self) -> Needs:
        with self._count:
            return Needs(self._received, self._engine.wanted(), self._engine.batch)

    def _take(self) -> None:
        """In a thread: put the outcomes into the mailbox."""
        try:
            while outcome := self._engine.take():
                self._mailbox.put(outcome)
            self._mailbox.end()
        except Exception as error:
            self._mailbox.end(str(error) or repr(error))
