"""Faults that go on: each is reported when it begins, not at every try."""

from collections.abc import Callable
from typing import TypeVar

from pipeline.errors import StoreError, UnavailableError
from pipeline.events.listener import Listener, Note, StoreUnavailable

T = TypeVar("T")


class Faults:
    """Reports faults of stores once, until they are over.

    `unavailable` says whether a fault since the last `clear` may be over soon, `count` how many others there
    were.
    """

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._reported: dict[str, str] = {}  # what failed -> the last message
        self.unavailable = False
        self.count = 0

    def clear(self) -> None:
        """Begin a new round of tries."""
        self.unavailable = False

    def attempt(self, what: str, action: Callable[[], T]) -> T | None:
        """The result of an action; none if it meets a fault, which is reported under the name `what`."""
        try:
            result = action()
        except StoreError as error:
            self.report(what, error)
            return None
        self.over(what)
        return result

    def over(self, what: str) -> None:
        """It works again."""
        self._reported.pop(what, None)

    def report(self, what: str, error: StoreError) -> None:
        """Report a fault, unless it was reported before."""
        passing = isinstance(error, UnavailableError)
        self.unavailable |= passing
        again = self._reported.get(what) == str(error) or (passing and what in self._reported)
        if not again:
            self._reported[what] = str(error)
        if passing:
            self._listener.hear(StoreUnavailable(str(error), again))
        elif not again:
            self.count += 1
            self._listener.hear(Note(str(error), "error"))
