"""Work on a manifest that runners have died with: one pair at a time, so that another death shows its cause.

The first death may be the fault of any pair that was begun, or of none. From then on, a pair that has to
be computed is first noted in the claim, and then computed while the runner works on nothing else. A pair with
which `_DEATHS_ALONE` runners in a row have died in this way has failed, and the others go on. Pairs that are
done already are only compared with their inputs, many at a time; a death then is counted for no pair.
"""

import threading
from dataclasses import replace

from pipeline.errors import Problem
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.manifest.models import Pair
from pipeline.stores.base import History

_SUSPECT = 1  # crashes that are counted as long as caution is needed, whatever progress there is
_DEATHS_ALONE = 2  # with the first one, which noted no pair, they are three
_MESSAGE = (
    "3 runners have died while they worked on this pair, the last 2 of them on nothing else; check its "
    "images and the memory that they take"
)


class Caution:
    """What is known about the pairs of one manifest. All methods may raise `StoreError`."""

    def __init__(self, claimed: ClaimedManifest) -> None:
        self._claimed, self._done = claimed, 0
        self._lock = threading.RLock()  # the history is read and written by two threads

    def blamed(self, pair: Pair) -> Problem | None:
        """Why a pair must not be computed any more, or none."""
        with self._lock:
            history = self._history
            if history.pair == pair.id and history.deaths >= _DEATHS_ALONE:
                self._claimed.note(History(failed=(*history.failed, pair.id), crashes=_SUSPECT))
            return Problem(pair.place, _MESSAGE, pair.id) if pair.id in self._history.failed else None

    def is_noted(self, pair: Pair) -> bool:
        """Whether this pair is the one that was noted last."""
        return self._history.pair == pair.id

    def begin(self, pair: Pair) -> None:
        """Note that this pair is computed from now on, and nothing else."""
        with self._lock:
            deaths = self._history.deaths if self._history.pair == pair.id else 0
            self._claimed.note(replace(self._history, pair=pair.id, alone=True, deaths=deaths))

    def settled(self, done: bool, begun: int) -> bool:
        """The pair that was noted is done, or has failed. Whether no more caution is needed.

        That is so after as many pairs are done as may have been begun when the first runner died,
        `begun`. A pair that has failed may have done so before anything was computed, and does not count.
        """
        with self._lock:
            if not done:
                # It keeps its deaths: after a hand-back it is tried again.
                self._claimed.note(self._history.after_stop())
                return False
            self._done += 1
            over = self._done >= begun
            self._claimed.note(History(failed=self._history.failed, crashes=0 if over else _SUSPECT))
            return over

    def found_done(self) -> None:
        """A pair was done already, which is progress, but no reason for less caution."""
        with self._lock:
            if self._history.crashes > _SUSPECT:
                self._claimed.note(replace(self._history, crashes=_SUSPECT))

    @property
    def _history(self) -> History:
        return self._claimed.history
