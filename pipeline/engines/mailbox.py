"""What an actor reports to its owner: collected while it works, and fetched by one call after the other."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from pipeline.engines.base import Outcome
from pipeline.events.listener import Evaluated, Event, TileComputed
from pipeline.events.previews import Previews
from pipeline.timing import Timing

_MOST = 16  # outcomes that wait for the owner; the engine of the actor keeps further ones


class Needs(NamedTuple):
    """What an engine in an actor can take."""

    received: int = 0  # tasks that have reached it so far
    wanted: int = 0  # more tasks that it needed when it had received these
    batch: int = 1  # pairs of one shape that it computes at once


@dataclass(frozen=True)
class Report:
    """What has happened at an actor since its last report."""

    needs: Needs
    events: Sequence[Event] = ()
    outcomes: Sequence[Outcome] = ()
    previews: dict[tuple[str, str], bytes] = field(default_factory=dict)  # JPEGs, by manifest and pair
    ended: bool = False  # nothing more comes
    reason: str = ""  # why it ended; empty if it was stopped


class Mailbox:
    """A listener that keeps what a report needs. Of the evaluations of a pair it keeps the newest.

    Of the tiles that are computed between two reports it keeps one.
    """

    def __init__(self, needs: Callable[[], Needs], every: float) -> None:
        """`every` is the number of seconds for which evaluations and tiles may wait for others."""
        self._find_needs, self._every = needs, every
        self._changed = threading.Condition()
        self._due = math.inf  # when there is something to report, by the clock
        self._reported = Needs()
        self._events: list[Event] = []
        self._evaluations: dict[tuple[str, str], Evaluated] = {}
        self._outcomes: list[Outcome] = []
        self._previews: dict[tuple[str, str], bytes] = {}
        self._ended, self._reason = False, ""

    def hear(self, event: Event) -> None:
        with self._changed:
            if isinstance(event, Evaluated):
                if event.evaluation.step == 1:  # the log needs the first one
                    self._events.append(event)
                else:
                    self._evaluations[event.manifest, event.pair] = event
                self._report_soon()
            elif isinstance(event, TileComputed):
                if event not in self._events:  # one of them is enough to show progress
                    self._events.append(event)
                self._report_soon()
            else:
                self._events.append(event)
                self._report_now()

    def close(self) -> None:
        pass

    def show(self, manifest: str, pair: str, jpeg: bytes) -> None:
        """Report a preview."""
        with self._changed:
            self._previews[manifest, pair] = jpeg
            self._report_soon()

    def put(self, outcome: Outcome) -> None:
        """Report an outcome. Wait before that while too many others have not been fetched."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._outcomes) < _MOST)
            self._outcomes.append(outcome)
            self._report_now()

    def end(self, reason: str = "") -> None:
        """Report that the engine has ended; `reason` is empty if it was stopped."""
        with self._changed:
            self._ended, self._reason = True, reason
            self._report_now()

    def change(self) -> None:
        """Report what the engine needs, if it needs something else than before."""
        with self._changed:
            self._report_now()

    def fetch(self) -> Report:
        """Wait until there is something to report, and return it."""
        while True:
            with self._changed:
                while (seconds := self._due - time.monotonic()) > 0:
                    self._changed.wait(None if seconds == math.inf else seconds)
                self._due = math.inf
            needs = self._find_needs()  # it takes the locks of the engine, which may call `change`
            with self._changed:
                if needs != self._reported or self._contents:
                    return self._take(needs)

    @property
    def _contents(self) -> bool:
        kept = (self._events, self._evaluations, self._outcomes, self._previews)
        return self._ended or any(map(bool, kept))

    def _take(self, needs: Needs) -> Report:
        events = [*self._events, *self._evaluations.values()]
        report = Report(needs, events, tuple(self._outcomes), dict(self._previews), self._ended, self._reason)
        self._reported = needs
        for kept in (self._events, self._evaluations, self._outcomes, self._previews):
            kept.clear()
        self._changed.notify_all()
        return report

    def _report_now(self) -> None:
        self._due = -math.inf
        self._changed.notify_all()

    def _report_soon(self) -> None:
        if self._due == math.inf:
            self._due = time.monotonic() + self._every
            self._changed.notify_all()


class SentPreviews(Previews):
    """Previews of an actor: they go into its mailbox."""

    def __init__(self, timing: Timing, mailbox: Mailbox) -> None:
        super().__init__(timing)
        self._mailbox = mailbox

    def put(self, manifest: str, pair: str, jpeg: bytes) -> None:
        self._mailbox.show(manifest, pair, jpeg)
