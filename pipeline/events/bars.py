"""Progress bars on a terminal."""

import threading
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from pipeline.errors import Problem, printable
from pipeline.events.streams import Forgiving
from pipeline.outbox.outbox import Record

if TYPE_CHECKING:
    from nst.result import Evaluation


class Bars:
    """A bar for each pair in work and one for all pairs known so far."""

    def __init__(self, out: TextIO) -> None:
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.completed:.0f}/{task.total:.0f}"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[losses]}"),
            console=Console(file=cast(TextIO, Forgiving(out))),
        )
        self._all = self._bars.add_task("all pairs", total=0, losses="", visible=False)
        self._pairs: dict[tuple[str, str], TaskID] = {}
        self._open: set[str] = set()
        self._known, self._lock = 0, threading.Lock()
        self._bars.start()

    def close(self) -> None:
        """Leave the last state on the screen."""
        self._bars.stop()

    def manifest_started(self, manifest: str, pairs: int) -> None:
        with self._lock:
            self._known += pairs if manifest not in self._open else 0
            self._open.add(manifest)
            self._bars.update(self._all, total=self._known, visible=True)

    def evaluated(self, manifest: str, pair: str, evaluation: "Evaluation") -> None:
        with self._lock:
            task = self._pairs.get((manifest, pair))
            if task is None:
                name = printable(f"{manifest}/{pair}")
                task = self._bars.add_task(name, total=evaluation.steps, losses="")
                self._pairs[manifest, pair] = task
            losses = evaluation.losses
            shown = f"content {losses.content:.4g}  style {losses.style:.4g}  total {losses.total:.4g}"
            self._bars.update(task, completed=evaluation.step, losses=shown)

    def pair_done(self, manifest: str, record: Record, computed: bool) -> None:
        how = f"loss {record.losses.total:.1f}, {record.seconds:.1f} s"
        self._end(manifest, record.id, f"✓ {manifest}/{record.id}: {how if computed else 'there already'}")

    def failed(self, manifest: str, problem: Problem) -> None:
        self._end(manifest, problem.id or "", f"✗ {manifest}: {problem}")

    def manifest_ended(self, manifest: str, problems: int, page: str | None = None) -> None:
        with self._lock:
            self._open.discard(manifest)
        ending = f"{problems} problem{'s' * (problems > 1)}" if problems else "done"
        self.note(f"{'✗' if problems else '✓'} {manifest}: {ending}{f', look at {page}' if page else ''}")

    def note(self, message: str, **details: Any) -> None:
        details.pop("level", None)
        text = " ".join([message, *(f"{key}={value}" for key, value in details.items())])
        self._bars.console.print(printable(text), markup=False, highlight=False)

    def _end(self, manifest: str, pair: str, message: str) -> None:
        self.note(message)
        with self._lock:
            if (task := self._pairs.pop((manifest, pair), None)) is not None:
                self._bars.remove_task(task)
            self._bars.advance(self._all, manifest in self._open)
