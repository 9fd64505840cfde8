"""Pairs side by side on a CPU, each in a thread of its own.

One picture does not keep all cores busy: after each operation the cores wait for the slowest one, and small
operations are not divided at all. Several pictures at the same time, each on fewer cores, take less time
together than one after the other. Threads of one process are enough: Python runs the code of one thread at a
time, but others run while PyTorch computes an operation. So all share the networks and the styles' targets.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import repeat

import torch
from PIL import Image

from nst.pair import PreparedPair
from nst.previews import PreviewCallbacks
from nst.result import Evaluation, OnEvaluation, Result

RunOne = Callable[[PreparedPair, OnEvaluation, PreviewCallbacks | None], Result]
"""Stylizes one pair, whose index in its callbacks is 0."""


class SideBySide:
    """Runs the pairs of one batch in as many threads. Use it once.

    The cores are divided equally. A pair does not get more of them when another one has ended: sums in
    another order would change its picture from run to run.
    """

    def __init__(self, on_evaluation: OnEvaluation, previews: PreviewCallbacks | None) -> None:
        """The callbacks get the indices of pairs. They are called by one thread at a time."""
        self._on_evaluation, self._previews = on_evaluation, previews
        self._lock = threading.Lock()  # guards the callbacks and all below
        self._wanted = set[int]()  # indices of pairs of which a preview is due
        self._error: BaseException | None = None  # the first one of a pair

    def run(self, pairs: Sequence[PreparedPair], run_one: RunOne) -> list[Result]:
        """One result for each pair. If one fails, the others are ended, and its error is raised."""
        cores, found = torch.get_num_threads(), list[Result | None]()
        share = max(1, cores // len(pairs))
        try:
            with ThreadPoolExecutor(len(pairs), "pair", _use_cores, (share,)) as threads:
                try:
                    found += threads.map(self._run_one, range(len(pairs)), pairs, repeat(run_one))
                except BaseException as own:  # of the thread that waits, such as KeyboardInterrupt
                    self._end(own)
        finally:
            torch.set_num_threads(cores)
        error, self._error = self._error, None
        try:
            if error:
                raise error
        finally:
            del error  # its traceback has memory, which would not be free as long as this refers to it
        return [result for result in found if result]

    def _run_one(self, index: int, pair: PreparedPair, run_one: RunOne) -> Result | None:
        previews = of_pair = self._previews
        if previews:
            wanted, show = partial(self._wanted_now, previews, index), partial(self._show, previews, index)
            of_pair = PreviewCallbacks(wanted, show, previews.long_side)
        try:
            return run_one(pair, partial(self._report, index), of_pair)
        except BaseException as error:
            self._end(error)
            return None

    def _end(self, error: BaseException) -> None:
        """Let all pairs end at their next evaluation, with this error unless there is an earlier one."""
        with self._lock:
            self._error = self._error or error

    def _report(self, index: int, _: int, evaluation: Evaluation) -> None:
        with self._lock:
            if self._error:
                raise _EndedError
            self._on_evaluation(index, evaluation)

    def _wanted_now(self, previews: PreviewCallbacks, index: int) -> Sequence[int]:
        with self._lock:
            self._wanted.update(previews.wanted())
            if index not in self._wanted:
                return ()
            self._wanted.remove(index)
            return (0,)  # the only pair of its run

    def _show(self, previews: PreviewCallbacks, index: int, _: int, image: Image.Image) -> None:
        with self._lock:
            previews.show(index, image)


def _use_cores(number: int) -> None:
    """Let this thread, which is new, use so many cores."""
    torch.get_num_threads()  # sets the thread up, which would set its number again later
    torch.set_num_threads(number)


class _EndedError(Exception):
    """The pair was ended because another one has failed."""
