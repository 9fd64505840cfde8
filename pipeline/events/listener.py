"""Who is told what happens while the pipeline works."""

from typing import TYPE_CHECKING, Any, Protocol

from pipeline.errors import Problem
from pipeline.outbox.outbox import Record

if TYPE_CHECKING:
    from nst.result import Evaluation


class Listener(Protocol):
    """Is told what happens; called from several threads."""

    def manifest_started(self, manifest: str, pairs: int) -> None:
        """A manifest was taken in and stands for so many pairs."""

    def evaluated(self, manifest: str, pair: str, evaluation: "Evaluation") -> None:
        """The objective of a pair was evaluated once more."""

    def pair_done(self, manifest: str, record: Record, computed: bool) -> None:
        """A pair's result is in the outbox; not `computed` if it was there already."""

    def failed(self, manifest: str, problem: Problem) -> None:
        """A pair can't be done, or where the problem is no pair's, the whole manifest."""

    def manifest_ended(self, manifest: str, problems: int, page: str | None = None) -> None:
        """Every pair is done, or a problem of it told; `page` is where to look at them."""

    def note(self, message: str, **details: Any) -> None:
        """Something that a person may want to know."""

    def close(self) -> None:
        """Nothing more will come."""
