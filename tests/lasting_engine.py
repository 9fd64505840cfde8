"""Engines whose pairs take a time that their epochs decide, or never end. They need no torch."""

import threading
from collections.abc import Callable
from typing import NoReturn

from nst.result import Evaluation, Losses
from pipeline.engines.base import Outcome, Task, Unread
from pipeline.engines.fake import FakeEngine
from pipeline.events.listener import Evaluated, Listener
from pipeline.events.previews import Previews
from pipeline.stores.opening import Stores

_EPOCH = 0.2  # seconds


class LastingEngine(FakeEngine):
    """Takes some time for each pair, as devices do, and ends it early if its manifest is cancelled.

    A pair of several epochs is announced by a first evaluation when it begins.
    """

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores, self._last)
        self._over: dict[int, tuple[str, threading.Event]] = {}  # the manifest of each task, and its end

    def start(self, listener: Listener, on_change: Callable[[], None], previews: Previews) -> None:
        self._hear = listener.hear
        super().start(listener, on_change, previews)

    def submit(self, task: Task) -> None:
        self._over[task.number] = task.manifest, threading.Event()
        super().submit(task)

    def cancel(self, manifest: str) -> None:
        super().cancel(manifest)
        for name, over in list(self._over.values()):
            if name == manifest:
                over.set()

    def _last(self, task: Task) -> Outcome | None:
        epochs = task.pair.parameters.epochs
        if epochs > 1:
            losses = Losses(1.0, 1.0, 0.0, 2.0)
            self._hear(Evaluated(task.manifest, task.pair.id, Evaluation(1, 20 * epochs, 32, losses, 0.1)))
        cancelled = self._over[task.number][1].wait(_EPOCH * epochs)
        return Unread(task, "its manifest was cancelled") if cancelled else None


class StuckEngine(FakeEngine):
    """Ends no pair, and never closes: like a device that hangs."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores, lambda task: _hang())

    def close(self) -> None:
        super().close()
        _hang()


def _hang() -> NoReturn:
    threading.Event().wait()
    raise AssertionError("unreachable")
