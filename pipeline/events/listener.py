"""What happens while the pipeline works, as events, and the protocol of those who listen to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from nst.result import Evaluation
from pipeline.errors import Problem
from pipeline.outbox.record import Record

Level = Literal["info", "warning", "error"]


@dataclass(frozen=True)
class ManifestStarted:
    """Work on a manifest of so many pairs begins."""

    manifest: str
    pairs: int


@dataclass(frozen=True)
class Evaluated:
    """The objective of a pair was evaluated once more."""

    manifest: str
    pair: str
    evaluation: Evaluation


@dataclass(frozen=True)
class TileComputed:
    """One more tile of a picture was computed, which is too large to be computed as a whole."""


@dataclass(frozen=True)
class PairDone:
    """The result of a pair is in the outbox. It was there before if it is not `computed`."""

    manifest: str
    record: Record
    computed: bool


@dataclass(frozen=True)
class Failed:
    """A pair failed, or the whole manifest where the problem names no pair."""

    manifest: str
    problem: Problem


@dataclass(frozen=True)
class ManifestEnded:
    """Every pair of a manifest is done or has failed. `page` is where a person sees the results."""

    manifest: str
    problems: int
    page: str | None = None


@dataclass(frozen=True)
class ManifestLeft:
    """This process stopped work on a manifest that has not ended: `reason` says why."""

    manifest: str
    reason: str
    level: Level = "info"
    claim_lost: bool = False  # not by a person: another runner may work on the manifest now


@dataclass(frozen=True)
class StoreUnavailable:
    """A store cannot be used now, and what needs it waits. `again` after the first try of an action."""

    message: str
    again: bool


@dataclass(frozen=True)
class BatchBegan:
    """A device begins to compute so many pairs at once."""

    pairs: int
    device: str = ""  # its name if there are several; it only tells them apart


@dataclass(frozen=True)
class BatchEnded:
    """A device has ended the batch that it began last, in whatever way."""

    device: str = ""


@dataclass(frozen=True)
class WatchBegan:
    """The engine has started, and this process works on the manifests of an inbox now. Both are URLs."""

    inbox: str
    outbox: str


@dataclass(frozen=True)
class Scanned:
    """A scan of the inbox has found so many manifests that wait, and so many in `processing/`."""

    waiting: int
    processing: int


@dataclass(frozen=True)
class Note:
    """Something else that a person may want to know."""

    message: str
    level: Level = "info"
    details: Mapping[str, Any] = field(default_factory=dict)


Event = (
    ManifestStarted
    | Evaluated
    | TileComputed
    | PairDone
    | Failed
    | ManifestEnded
    | ManifestLeft
    | StoreUnavailable
    | BatchBegan
    | BatchEnded
    | WatchBegan
    | Scanned
    | Note
)


class Listener(Protocol):
    """Hears every event. Several threads call it, and it must not raise."""

    def hear(self, event: Event) -> None:
        """React to an event."""

    def close(self) -> None:
        """Nothing more will come."""


class FanOut:
    """Passes every event on to several listeners, in their order."""

    def __init__(self, listeners: Sequence[Listener]) -> None:
        self._listeners = listeners

    def hear(self, event: Event) -> None:
        for listener in self._listeners:
            listener.hear(event)

    def close(self) -> None:
        for listener in self._listeners:
            listener.close()
