"""Progress bars on a terminal."""

import platform
import threading
from typing import TextIO, cast

from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipeline.errors import Problem, printable
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
from pipeline.events.streams import Forgiving
from pipeline.outbox.record import Record

_LEAST_NAME = 16  # columns of the terminal
_BESIDE_NAMES = 48  # columns for a bar, the count, the time left and the loss


class Bars:
    """A bar for each pair that is computed and one for all pairs known so far."""

    def __init__(self, out: TextIO) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[loss]}"),
            console=Console(file=cast(TextIO, Forgiving(out))),
        )
        self._all = self._bars.add_task("all pairs", total=0, loss="", visible=False)
        self._pairs: dict[tuple[str, str], TaskID] = {}
        self._left: dict[str, int] = {}  # pairs that are not done, by manifest
        self._known, self._lock = 0, threading.Lock()

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bars.stop()

    def hear(self, event: Event) -> None:
        with self._lock:
            match event:
                case ManifestStarted(manifest, pairs):
                    self._start(manifest, pairs)
                case Evaluated():
                    self._evaluated(event)
                case PairDone(manifest, record, computed):
                    self._done(manifest, record, computed)
                case Failed(manifest, problem):
                    self._failed(manifest, problem)
                case ManifestEnded():
                    self._ended(event)
                case ManifestLeft(manifest, reason):
                    self._leave(manifest)
                    self._print(f"{manifest}: {reason}")
                case StoreUnavailable(message, again):
                    if not again:
                        self._print(f"{message}; trying again")
                case WatchBegan(inbox, outbox):
                    self._print(f"watching inbox={inbox} outbox={outbox}")
                case TileComputed() | BatchBegan() | BatchEnded() | Scanned():
                    pass
                case Note(message, _, details):
                    shown = (f"{key}={value}" for key, value in details.items())
                    self._print(" ".join([message, *shown]))

    def _start(self, manifest: str, pairs: int) -> None:
        # Not earlier: until work begins, a signal ends the process at once, and the cursor would stay hidden.
        self._bars.start()
        self._leave(manifest)
        self._left[manifest] = pairs
        self._known += pairs
        self._bars.update(self._all, total=self._known, visible=True)

    def _evaluated(self, event: Evaluated) -> None:
        key, evaluation = (event.manifest, event.pair), event.evaluation
        if key not in self._pairs:
            name = self._shortened(printable("/".join(key)))
            self._pairs[key] = self._bars.add_task(name, total=evaluation.steps, loss="")
        loss = f"loss {evaluation.losses.total:.4g}"
        self._bars.update(self._pairs[key], completed=evaluation.step, loss=loss)

    def _shortened(self, name: str) -> str:
        """The name as it fits beside its bar. Its end stays, by which the pairs of a sweep differ."""
        most = max(_LEAST_NAME, self._bars.console.width - _BESIDE_NAMES)
        if cell_len(name) <= most:
            return name
        while cell_len(name) >= most:
            name = name[1:]
        return f"…{name}"

    def _done(self, manifest: str, record: Record, computed: bool) -> None:
        # Which machine it was is of interest only if it was not this one.
        node = f" on {record.node}" if record.node not in (None, platform.node()) else ""
        how = f"loss {record.losses.total:.1f}, {record.seconds:.1f} s{node}" if computed else "there already"
        self._print(f"✓ {manifest}/{record.id}: {how}")
        self._advance(manifest, record.id)

    def _failed(self, manifest: str, problem: Problem) -> None:
        self._print(f"✗ {manifest}: {problem}")
        self._advance(manifest, problem.id or "")

    def _ended(self, event: ManifestEnded) -> None:
        self._left.pop(event.manifest, None)
        count = event.problems
        ending = f"{count} problem{'s' * (count > 1)}" if count else "done"
        page = f", see {event.page}" if event.page else ""
        self._print(f"{'✗' if count else '✓'} {event.manifest}: {ending}{page}")

    def _leave(self, manifest: str) -> None:
        """Forget a manifest that did not end here."""
        self._known -= self._left.pop(manifest, 0)
        self._bars.update(self._all, total=self._known)
        for key in [key for key in self._pairs if key[0] == manifest]:
            self._bars.remove_task(self._pairs.pop(key))

    def _advance(self, manifest: str, pair: str) -> None:
        if (task := self._pairs.pop((manifest, pair), None)) is not None:
            self._bars.remove_task(task)
        if manifest in self._left:
            self._left[manifest] -= 1
            self._bars.advance(self._all)

    def _print(self, text: str) -> None:
        self._bars.console.print(printable(text), markup=False, highlight=False)
