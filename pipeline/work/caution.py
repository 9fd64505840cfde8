"""Work on a manifest that runners have died with: one pair at a time, so that another death shows its cause.

The first death may be the fault of any pair that was in work, or of none. From then on, a pair that has to
be computed is first noted in the claim, and then computed while the runner works on nothing else. A pair with
which `_DEATHS_ALONE` runners in a row have died in this way has failed, and the others go on. Pairs that are
done already are only compared with their inputs, many at a time; a death meanwhile is no pair's fault.
"""

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

    def __init__(self, claimed: ClaimedManifest, pairs: int) -> None:
        """It is over when so many pairs were computed one at a time."""
        self._claimed, self._left, self._progress = claimed, pairs, False

    @property
    def over(self) -> bool:
        """Whether the manifest is like any other again."""
        return self._left <= 0

    def blamed(self, pair: Pair) -> Problem | None:
        """Why a pair must not be computed any more, or none."""
        history = self._history
        if history.pair == pair.id and history.deaths >= _DEATHS_ALONE:
            self._note(History(failed=(*history.failed, pair.id)))
        return Problem(pair.place, _MESSAGE, pair.id) if pair.id in self._history.failed else None

    def begin(self, pair: Pair) -> None:
        """Note that this pair is computed from now on, and nothing else."""
        deaths = self._history.deaths if self._history.pair == pair.id else 0
        crashes = _SUSPECT if self._progress else self._history.crashes
        self._note(replace(self._history, crashes=crashes, pair=pair.id, alone=True, deaths=deaths))

    def settled(self) -> None:
        """The pair that was noted is done, or has failed."""
        self._left, self._progress = self._left - 1, True
        if self.over:  # otherwise the next `begin` writes it down
            self._note(History(failed=self._history.failed))

    def found_done(self) -> None:
        """A pair was done already, which is progress."""
        if self._history.crashes > _SUSPECT:
            self._note(replace(self._history, crashes=_SUSPECT))

    @property
    def _history(self) -> History:
        return self._claimed.history

    def _note(self, history: History) -> None:
        self._claimed.note(history)
