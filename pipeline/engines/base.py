"""What an engine is: it takes tasks and gives back finished pictures, in any order.

An engine knows nothing of claims, manifests' ends or the outbox. The owner (`pipeline.work.owner`) publishes
what comes back, so that leases, confirmation and the order of writing are the same for every engine.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from pipeline.errors import Problem
from pipeline.events.listener import Listener
from pipeline.events.previews import Previews
from pipeline.manifest.models import Pair
from pipeline.outbox.record import Record


@dataclass(frozen=True)
class Task:
    """One pair, ready to be sent anywhere: it can be pickled, and holds no open file and no live store."""

    number: int  # different for every task of one owner
    manifest: str
    pair: Pair
    base: str  # URL of the store that the pair's images are relative to
    allowed: tuple[str, ...] = ()  # URLs of the other stores that images may come from
    known: str | None = None  # the input digest of the result that is in the outbox already
    images: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of images that need not be read for it
    refusal: str = ""  # if not empty, why the pair fails unless its digest is `known`
    priority: int = 0  # tasks of a higher priority go first
    newcomer: bool = False  # of equal priorities, the first turn of a manifest goes before others
    alone: bool = False  # shares no batch, because an engine died with it
    check_only: bool = False  # computes nothing: the outcome is not `Finished`
    waits: bool = True  # for images that can't be read now; if not, the outcome is then `Unread`

    @property
    def rank(self) -> tuple[int, bool, int]:
        """The task of the lowest rank goes first."""
        return -self.priority, not self.newcomer, self.number


@dataclass(frozen=True)
class Finished:
    """A picture and all that is stored with it."""

    task: Task
    record: Record  # without the tags, which only the outbox's store knows
    picture: bytes  # encoded
    loss_log: bytes  # JSON lines
    thumbnails: Mapping[str, bytes]  # small JPEGs by the names that the record gives them
    snapshots: Mapping[str, bytes] = field(default_factory=dict)  # by the names in the record


@dataclass(frozen=True)
class Unchanged:
    """The result in the outbox is of the same inputs and parameters: there was nothing to compute."""

    task: Task


@dataclass(frozen=True)
class Changed:
    """The result in the outbox is of other inputs or parameters. Only tasks with `check_only` end so."""

    task: Task


@dataclass(frozen=True)
class Unread:
    """The images can't be read now. Tasks that wait for their images do not end so."""

    task: Task
    reason: str


@dataclass(frozen=True)
class Failed:
    """The pair cannot be done."""

    task: Task
    problem: Problem


@dataclass(frozen=True)
class Died:
    """What computed the pair died with it. Nobody knows whether the pair was the cause."""

    task: Task
    reason: str


Outcome = Finished | Unchanged | Changed | Unread | Failed | Died


class Engine(Protocol):
    """Turns tasks into outcomes. All methods may be called from any thread.

    It reports to the listener that `start` was given when a batch begins and ends on the device, as events
    `BatchBegan` and `BatchEnded`, and each evaluation in between, as `Evaluated`. An evaluation in tiles may
    take longer than a process may be silent, so that each tile is reported, too. While it computes pairs
    that are in `Previews.watched`, it puts a preview of each there every two seconds or so. For other pairs
    it computes and copies nothing.
    """

    @property
    def batch(self) -> int:
        """How many pairs of one shape it computes at once."""

    @property
    def begun(self) -> int:
        """How many pairs it may have begun in this process when that dies: each may be the cause."""

    def start(self, listener: Listener, on_change: Callable[[], None], previews: Previews) -> None:
        """Get ready; call `on_change` whenever `wanted` may have grown. Raises `NSTError`."""

    def wanted(self) -> int:
        """How many more tasks it needs now: enough for two batches beside the one that is computed."""

    def submit(self, task: Task) -> None:
        """Take a task. Its outcome will come out of `take`, once."""

    def flush(self) -> None:
        """Begin batches that are not full: no more tasks come for now."""

    def take(self) -> Outcome | None:
        """Wait for the next outcome; none once the engine was stopped and has no more.

        Raises `EngineLostError`, after the outcomes of the tasks that it died with, if it cannot go on.
        """

    def cancel(self, manifest: str) -> None:
        """Forget the tasks of a manifest. An outcome that is on its way may still come."""

    def stop(self) -> None:
        """End the work as soon as possible; tasks that are not finished have no outcome. Does not wait."""

    def close(self) -> None:
        """Stop, wait for what runs to end, and free everything."""
