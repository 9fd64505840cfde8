"""A store in the memory of this process, for tests and for programs that use this package.

    store = MemoryStore("inbox")
    store.write("a.json", b"{}")
    Stores().open("memory://inbox")  # the same store
    store.calls  # [("write", "a.json")]

It keeps every promise of the `Store` protocol, among the threads of one process. A test can make any call
fail or wait (`before`), read in which order calls were made (`calls`), and simulate the death of the
process that holds a claim (`abandon`).
"""

import hashlib
import itertools
import posixpath
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

from pipeline.errors import (
    ClaimLostError,
    ConflictError,
    NotFoundError,
    TakenAwayError,
    TooLargeError,
    UsageError,
)
from pipeline.stores.base import PARTS, Entry, History
from pipeline.stores.search import Search
from pipeline.timing import Timing

_SCHEME = "memory://"

Before = Callable[[str, str], None]


@dataclass(frozen=True)
class _File:
    data: bytes
    tag: str
    modified: float

    def entry(self, name: str) -> Entry:
        return Entry(name, len(self.data), self.tag, self.modified, self.tag)


class MemoryStore:
    """Files in memory. Each write is visible at once and complete.

    `before(verb, key)` is called at the beginning of every call, without a lock, and may raise an error or
    wait; assign another function to change it. `calls` has the (verb, key) of every call that `before` let
    through. A verb is the name of a method of the store or of a claim; a key is its first argument or, for
    methods of a claim without a key, that of the claimed file.
    """

    atomic, lists_tags = True, True
    event_folder: Path | None = None
    _by_name: ClassVar["WeakValueDictionary[str, MemoryStore]"] = WeakValueDictionary()

    def __init__(self, name: str, before: Before = lambda verb, key: None, timing: Timing = Timing()) -> None:
        """`open` finds this store by its name for as long as it exists, or until another one has the name."""
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"{_SCHEME}{name}: a name consists of letters, digits, '-' and '_'")
        self.url, self.before = f"{_SCHEME}{name}", before
        self.idle_interval = timing.scan
        self.calls: list[tuple[str, str]] = []
        self._files: dict[str, _File] = {}
        self._claims: dict[str, MemoryClaim] = {}
        self._histories: dict[str, tuple[str, History]] = {}  # by key: of which content, and what happened
        self._reserved: dict[str, MemoryReservation] = {}
        self._tags, self._lock = itertools.count(1), threading.RLock()
        self._by_name[name] = self

    @classmethod
    def open(cls, url: str) -> "MemoryStore":
        """The store that was made under the name in `memory://name`. Raises `UsageError` if there is none."""
        store = cls._by_name.get(url.removeprefix(_SCHEME).rstrip("/"))
        if store is None:
            raise UsageError(f"{url}: this process has made no MemoryStore of this name")
        return store

    def abandon(self, key: str) -> None:
        """End the claim on a file, or the reservation of a folder, as the death of its process does.

        The next claim counts a death. `confirm` of the abandoned claim raises `ClaimLostError`.
        """
        with self._lock:
            if self._reserved.pop(key, None):
                return
            claim = self._claims.pop(key)
            history = claim.history.after_stop() if claim.stopped else claim.history.after_death()
            self._histories[key] = claim.content, history

    def exists(self) -> bool:
        self._begin("exists", "")
        return True

    def make(self) -> None:
        self._begin("make", "")

    def exclusive(self) -> bool:
        self._begin("exclusive", "")
        return True

    def surroundings(self) -> None:
        return None

    def entries(self, folder: str) -> list[Entry]:
        self._begin("entries", folder)
        start = f"{folder}/" if folder else ""
        with self._lock:
            files = sorted(self._files.items())
        found = [(key.removeprefix(start), file) for key, file in files if key.startswith(start)]
        return [file.entry(name) for name, file in found if "/" not in name and not name.startswith(".")]

    def entry(self, key: str) -> Entry | None:
        self._begin("entry", key)
        with self._lock:
            return self._files[key].entry(posixpath.basename(key)) if key in self._files else None

    def left_out(self, folder: str) -> list[str]:
        return []

    def names(self, folder: str, most: int) -> list[str]:
        self._begin("names", folder)
        start = f"{folder}/" if folder else ""
        with self._lock:
            inner = [key.removeprefix(start) for key in self._files if key.startswith(start)]
        return sorted({name + slash for name, slash, _ in (key.partition("/") for key in inner)})[:most]

    def tag(self, key: str) -> str | None:
        self._begin("tag", key)
        with self._lock:
            return self._files[key].tag if key in self._files else None

    def read(self, key: str, limit: int) -> bytes:
        return self.fetch(key, limit)[0]

    def fetch(self, key: str, limit: int) -> tuple[bytes, str | None]:
        self._begin("read", key)
        with self._lock:
            file = self._find(key)
        if len(file.data) > limit:
            raise TooLargeError.of(f"{self.url}/{key}", len(file.data), limit)
        return file.data, file.tag

    def write(self, key: str, data: bytes) -> str:
        self._begin("write", key)
        return self._put(key, data)

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        self._begin("replace", key)
        with self._lock:
            self._check_seen(key, seen)
            return self._put(key, data)

    def move(self, source: str, target: str) -> None:
        self._begin("move", source)
        with self._lock:
            self._rename(source, target)

    def remove(self, key: str, seen: str | None = None) -> None:
        self._begin("remove", key)
        with self._lock:
            if seen is None or (key in self._files and self._files[key].tag == seen):
                self._files.pop(key, None)

    def tidy(self, folder: str) -> None:
        self._begin("tidy", folder)

    def claim(self, source: str, target: str) -> "MemoryClaim | None":
        self._begin("claim", source)
        with self._lock:
            if target in self._claims:
                return None
            if target not in self._files:
                if source not in self._files:
                    return None
                self._rename(source, target)
            content = hashlib.sha256(self._files[target].data).hexdigest()
            of_content, history = self._histories.pop(target, ("", History()))
            if of_content != content:
                history = History()
            claim = self._claims[target] = MemoryClaim(self, source, target, content, history)
        return claim

    def reserve(self, folder: str, part: str = "") -> "MemoryReservation | None":
        key, parts = f"{folder}/{PARTS}/{part}" if part else folder, f"{folder}/{PARTS}/"
        self._begin("reserve", key)
        with self._lock:
            taken = self._reserved.keys()
            if key in taken or folder in taken or (not part and any(k.startswith(parts) for k in taken)):
                return None
            reservation = self._reserved[key] = MemoryReservation(self._reserved, key)
        return reservation

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        self._begin("glob", pattern)
        with self._lock:
            return (search or Search()).keys(
                self.url, pattern, lambda start, most: [key for key in self._files if key.startswith(start)]
            )

    def reference(self, key: str) -> str:
        return key if self.key(self.absolute(key)) == key else f"{self.url}/{key}"

    def absolute(self, reference: str) -> str:
        if "://" in reference or reference.startswith("/"):
            return reference
        return _SCHEME + posixpath.normpath(f"{self.url.removeprefix(_SCHEME)}/{reference}")

    def key(self, absolute: str) -> str | None:
        inside = f"{absolute}/".startswith(f"{self.url}/") and ".." not in absolute.split("/")
        return absolute[len(self.url) + 1 :] if inside else None

    def _begin(self, verb: str, key: str) -> None:
        self.before(verb, key)
        self.calls.append((verb, key))

    def _find(self, key: str) -> _File:
        if key not in self._files:
            raise NotFoundError(f"{self.url}/{key}: no such file")
        return self._files[key]

    def _put(self, key: str, data: bytes) -> str:
        with self._lock:
            file = self._files[key] = _File(data, f"v{next(self._tags)}", time.time())
        return file.tag

    def _check_seen(self, key: str, seen: str | None) -> None:
        tag = self._files[key].tag if key in self._files else None
        if tag != seen:
            raise ConflictError(f"{self.url}/{key}: something else is there now")

    def _rename(self, source: str, target: str) -> None:
        file = self._find(source)
        if target in self._files:
            raise ConflictError(f"{self.url}/{target}: a newer file has this name")
        del self._files[source]
        self._files[target] = file


class MemoryReservation:
    """The reservation of a folder of a `MemoryStore`."""

    def __init__(self, reserved: dict[str, "MemoryReservation"], folder: str) -> None:
        self._reserved, self._folder = reserved, folder

    def confirm(self) -> None:
        if self._reserved.get(self._folder) is not self:
            raise ClaimLostError(f"{self._folder}: another process publishes there")

    def close(self) -> None:
        if self._reserved.get(self._folder) is self:
            del self._reserved[self._folder]


class MemoryClaim:
    """The claim on a file of a `MemoryStore`."""

    def __init__(self, store: MemoryStore, source: str, key: str, content: str, history: History) -> None:
        self._store, self._source, self._key, self._ended = store, source, key, False
        self.content, self.history, self.stopped = content, history, False

    def read(self, limit: int) -> bytes:
        return self._store.read(self._key, limit)

    def confirm(self) -> None:
        with self._begun("confirm"):
            self._check()

    def present(self) -> bool:
        with self._begun("present"):
            return self._holds() and self._key in self._store._files

    def note(self, history: History) -> None:
        with self._begun("note"):
            self._check()
            self.history = history

    def stopping(self) -> None:
        with self._begun("stopping"):
            self.stopped = True

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        with self._begun("move_to", key):
            if self._ended:
                return
            self._check()
            files = self._store._files
            for other in clearing:
                files.pop(other, None)
            files[key] = files.pop(self._key)
            self._end()

    def release(self) -> None:
        with self._begun("release"):
            # Where a newer file waits, this one stays where the next scan finds it.
            if self._holds() and self._key in self._store._files and self._source not in self._store._files:
                self._store._rename(self._key, self._source)
            if self._holds() and self.history != History():
                self._store._histories[self._key] = self.content, self.history.after_stop()
            self._end()

    def drop(self) -> None:
        with self._begun("drop"):
            self._end()

    def _begun(self, verb: str, key: str | None = None) -> threading.RLock:
        self._store._begin(verb, self._key if key is None else key)
        return self._store._lock

    def _check(self) -> None:
        place = f"{self._store.url}/{self._key}"
        if self._ended:
            raise ClaimLostError(f"{place}: the claim has ended")
        if not self._holds():
            raise ClaimLostError(f"{place}: another runner has taken over")
        if self._key not in self._store._files:
            raise TakenAwayError(place)

    def _holds(self) -> bool:
        return self._store._claims.get(self._key) is self

    def _end(self) -> None:
        self._ended = True
        if self._holds():
            del self._store._claims[self._key]
