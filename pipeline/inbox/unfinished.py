"""Manifests that were refused although somebody was still writing them: they go back to the inbox.

A program that pauses while it writes goes on writing to the same file after it was moved to `failed/`.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence

from pipeline.errors import ConflictError, NotFoundError, Problem, StoreError, printable
from pipeline.inbox.layout import FAILED, error_key, manifest_name, waiting_key
from pipeline.manifest.document import is_of_unfinished
from pipeline.manifest.reading import MAX_BYTES
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing

State = tuple[int, float]  # of a file: its size in bytes, and when it was modified


class Unfinished:
    """Puts manifests in `failed/` back into the inbox that change after they were refused for their syntax.

    Only for a folder: an object in a bucket is complete as soon as it is there. `failed/` is listed only
    while it has such manifests, and until the error files that were there before have been read.
    """

    def __init__(self, store: Store, timing: Timing, warn: Callable[[str], None]) -> None:
        self._store, self._timing, self._warn = store, timing, warn
        self._refused: dict[str, State | None] = {}  # by name; none if it has changed since
        self._known: dict[str, str] = {}  # name -> version of its error file that was read
        self._unread = not store.atomic  # there may be error files that were not read

    def note(self, name: str, seen: State | None, problems: Sequence[Problem]) -> None:
        """A manifest was moved to `failed/`; `seen` is the state in which it was read, if it is known."""
        if self._store.atomic or not any(is_of_unfinished(problem.message) for problem in problems):
            return
        if seen:
            self._refused[name] = seen
        else:
            self._unread = True

    def take_back(self) -> None:
        """Put the manifests that have changed back into the inbox, with a warning for each."""
        if not self._refused and not self._unread:
            return
        try:
            files = {entry.name: entry for entry in self._store.entries(FAILED)}
        except StoreError:
            return  # the next manifest that fails will show what is wrong
        found = {name: entry for entry in files.values() if (name := manifest_name(entry.name))}
        self._refused = {name: state for name, state in self._refused.items() if name in found}
        self._known = {name: version for name, version in self._known.items() if name in found}
        self._read_errors(found, files)
        for name, state in list(self._refused.items()):
            if state != _state(found[name]):
                self._put_back(name, found[name])

    def _read_errors(self, found: dict[str, Entry], files: dict[str, Entry]) -> None:
        """Read error files that are new, the newest first, for a limited time; others are left to later."""
        until = time.monotonic() + self._timing.priorities
        errors = [(name, files.get(error_key(name).rpartition("/")[2])) for name in found]
        new = [(name, error) for name, error in errors if error and self._known.get(name) != error.version]
        for name, error in sorted(new, key=lambda item: -item[1].modified):
            if time.monotonic() > until:
                return
            try:
                unfinished = _is_of_unfinished(self._store.read(error_key(name), MAX_BYTES))
            except StoreError:
                continue
            self._known[name] = error.version
            if unfinished and name not in self._refused:
                # Not if the file has a time in the future, which some copies keep: it would never end.
                changed = error.modified <= found[name].modified <= time.time()
                self._refused[name] = None if changed else _state(found[name])
        self._unread = False

    def _put_back(self, name: str, entry: Entry) -> None:
        key = f"{FAILED}/{entry.name}"
        try:
            self._store.move(key, waiting_key(name))
            self._store.remove(error_key(name))
        except ConflictError:
            # Another manifest of this name waits, and is worked on instead.
            self._refused[name] = _state(entry)
        except NotFoundError:
            del self._refused[name]  # another runner was quicker
        else:
            del self._refused[name]
            text = f"{self._store.url}/{key}: was changed after it was refused; it is put back into the inbox"
            self._warn(printable(text))


def states(manifests: Mapping[str, Entry]) -> dict[str, State]:
    """The states of the files of manifests, by name."""
    return {name: _state(entry) for name, entry in manifests.items()}


def _state(entry: Entry) -> State:
    # Not the version: on some network folders a renamed file has another inode.
    return entry.size, entry.modified


def _is_of_unfinished(error_file: bytes) -> bool:
    try:
        errors = json.loads(error_file)["errors"]
        return any(is_of_unfinished(error["message"]) for error in errors)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return False
