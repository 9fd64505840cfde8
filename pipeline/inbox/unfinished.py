"""Manifests that were refused although somebody was still writing them: they go back to the inbox.

A program that pauses while it writes goes on writing to the same file after it was moved to `failed/`. A
person may also correct the file there.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from pipeline.errors import ConflictError, NotFoundError, Problem, StoreError, UnavailableError, printable
from pipeline.inbox.error_file import read_errors, remove_error_file
from pipeline.inbox.layout import FAILED, error_key, failed_key, kept_key, manifest_name, waiting_key
from pipeline.manifest.document import is_of_unfinished
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing

_MOST_WATCHED = 100  # manifests, the latest; each costs two calls of the system in every scan
_MOST_READ = 1000  # error files that are read at the start, the newest

_State = tuple[int, float]  # of a file: its size in bytes, and when it was modified


@dataclass
class _Refused:
    """A manifest that is watched, because it was refused for its syntax."""

    state: _State | None  # in which it was refused; none if there was no file, or if it has changed since
    until: float  # by the clock of `Unfinished`
    error: _State | None = None  # of the error file that was read last
    reported: bool = False  # that it cannot be moved now


class Unfinished:
    """Puts manifests in `failed/` back into the inbox that change after they were refused for their syntax.

    Only for a folder: an object in a bucket is complete as soon as it is there. A manifest is watched for
    `Timing.refused` seconds. `failed/` is listed once, at the first scan.
    """

    def __init__(
        self, store: Store, timing: Timing, clock: Callable[[], float], warn: Callable[[str], None]
    ) -> None:
        self._store, self._timing, self._clock, self._warn = store, timing, clock, warn
        self._refused: dict[str, _Refused] = {}  # by name, the latest last
        self._changing = threading.RLock()  # one thread scans, and another one ends manifests
        self._unread = not store.atomic  # the error files that were there before

    def note(self, name: str, seen: Entry | None, problems: Sequence[Problem]) -> None:
        """A manifest was moved to `failed/`; `seen` is its file as it was read, if it is known."""
        with self._changing:
            self._refused.pop(name, None)
            if self._store.atomic or not any(is_of_unfinished(problem.message) for problem in problems):
                return
            if len(self._refused) >= _MOST_WATCHED:
                del self._refused[next(iter(self._refused))]
            self._refused[name] = _Refused(_state(seen) if seen else None, self._end())

    def take_back_all(self) -> None:
        """Put the manifests that have changed back into the inbox, with a warning for each."""
        with self._changing:
            if self._unread:
                self._read_errors()
            now = self._clock()
            self._refused = {name: refused for name, refused in self._refused.items() if now < refused.until}
            for name in list(self._refused):
                self.take_back(name)

    def take_back(self, name: str) -> None:
        """Put this manifest back into the inbox if it has changed after it was refused for its syntax.

        What makes that impossible is reported once.
        """
        with self._changing:
            refused = self._refused.get(name)
            if refused is None:
                return
            try:
                if not self._follow(name, refused):
                    del self._refused[name]
            except UnavailableError as error:
                self._report(f"{error}; until then", name, refused)
            except StoreError as error:
                self._report(f"{error}; correct that, then use 'nst-pipeline retry';", name, refused)
                del self._refused[name]

    def _report(self, why: str, name: str, refused: _Refused) -> None:
        if not refused.reported:
            self._warn(f"{why} changes of {printable(failed_key(name))} are not taken up")
        refused.reported = True

    def set_aside(self, name: str) -> None:
        """Rename `failed/NAME.json`, which a person has written, with a warning. Raises `StoreError`."""
        key, kept = failed_key(name), kept_key(name)
        with suppress(NotFoundError):
            self._store.move(key, kept)
            text = f"{self._store.url}/{key}: was changed while a manifest of this name was worked on"
            self._warn(printable(f"{text}; it is kept as {kept}"))

    def _follow(self, name: str, refused: _Refused) -> bool:
        """Put the manifest back if it has changed; whether it is watched any longer."""
        # In this order, because the error file is written before a manifest is moved to `failed/`.
        file, error = self._store.entry(failed_key(name)), self._store.entry(error_key(name))
        if error and _state(error) != refused.error:
            try:
                if not self._was_unfinished(name):
                    return False  # a later manifest of this name has failed, or was cancelled
            except NotFoundError:
                return True  # deleted at this moment; the next scan finds what follows
            if refused.error:
                refused.state = _state(file) if file else None  # another runner has refused a later one
            refused.error = _state(error)
        if file is None:
            refused.state = None
        elif _state(file) != refused.state:
            self._put_back(name, refused, error)
        return True

    def _put_back(self, name: str, refused: _Refused, error: Entry | None) -> None:
        key = failed_key(name)
        try:
            self._store.move(key, waiting_key(name))
        except (ConflictError, NotFoundError):
            return  # another manifest of this name waits, and goes first; or another runner was quicker
        # A person may save the file once more, which makes a new one.
        refused.state, refused.until, refused.reported = None, self._end(), False
        text = f"{self._store.url}/{key}: was changed after it was refused; it is put back into the inbox"
        self._warn(printable(text))
        remove_error_file(self._store, name, error)

    def _read_errors(self) -> None:
        """Watch the manifests that were refused before this process began, as far as time allows."""
        try:
            files = {entry.name: entry for entry in self._store.entries(FAILED)}
        except UnavailableError:
            return  # tried again by the next scan
        except StoreError as fault:
            self._warn(f"{fault}; changes of the manifests in it are not noticed")
            files = {}
        self._unread = False
        until = time.monotonic() + self._timing.priorities
        names = {name: entry for entry in files.values() if (name := manifest_name(entry.name))}
        errors = [(files.get(error_key(name).rpartition("/")[2]), name) for name in names]
        newest = sorted(((error, name) for error, name in errors if error), key=lambda e: -e[0].modified)
        found = dict[str, _Refused]()
        for error, name in newest[:_MOST_READ]:
            if time.monotonic() > until or len(self._refused) + len(found) >= _MOST_WATCHED:
                break
            try:
                unfinished = self._was_unfinished(name)
            except StoreError:
                continue
            if unfinished:
                # A modification time in the future would make every new runner put the file back.
                changed = error.modified <= names[name].modified <= time.time()
                state = None if changed else _state(names[name])
                found[name] = _Refused(state, self._end(), _state(error))
        self._refused = dict(reversed(found.items())) | self._refused

    def _was_unfinished(self, name: str) -> bool:
        """Whether an error file says that its manifest may not be written to its end. Raises `StoreError`."""
        return any(is_of_unfinished(problem.message) for problem in read_errors(self._store, name))

    def _end(self) -> float:
        return self._clock() + self._timing.refused


def _state(entry: Entry) -> _State:
    # Not the version: on some network folders a renamed file has another inode.
    return entry.size, entry.modified
