"""A store in the memory of this process, for tests and for programs that use this package.

    store = MemoryStore("inbox")
    store.write("a.json", b"{}")
    Stores().open("memory://inbox")  # the same store
    store.calls  # [("write", "a.json")]

It keeps every promise of the `Store` protocol, among the threads of one process. A test can make any call
fail or wait (`before`), read in which order calls were made (`calls`), and simulate the death of the
process that holds a claim (`abandon`).
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from weakref import WeakValueDictionary

from pipeline.errors import ConflictError, UsageError
from pipeline.stores.base import PARTS, Entry, Part
from pipeline.stores.memory_claim import MemoryClaim, MemoryClaims, MemoryReservation
from pipeline.stores.memory_files import MemoryFiles
from pipeline.stores.search import Search
from pipeline.timing import Timing

_SCHEME = "memory://"

Before = Callable[[str, str], None]


class MemoryStore:
    """Files in memory. Each write is visible at once and complete.

    `before(verb, key)` is called at the beginning of every call, without a lock, and may raise an error or
    wait; assign another function to change it. `calls` has the (verb, key) of every call that `before` let
    through. A verb is the name of a method of the store or of a claim; a key is its first argument or, for
    methods of a claim without a key, that of the claimed file.
    """

    atomic, lists_tags = True, True
    event_folder: Path | None = None
    surroundings: str | None = None
    _by_name: ClassVar["WeakValueDictionary[str, MemoryStore]"] = WeakValueDictionary()

    def __init__(self, name: str, before: Before = lambda verb, key: None, timing: Timing = Timing()) -> None:
        """`open` finds this store by its name for as long as it exists, or until another one has the name."""
        if not re.fullmatch(r"[\w-]+", name):
            raise UsageError(f"{_SCHEME}{name}: a name consists of letters, digits, '-' and '_'")
        self.url, self.before = f"{_SCHEME}{name}", before
        self.idle_interval = timing.scan
        self.calls: list[tuple[str, str]] = []
        self._files = MemoryFiles(self.url)
        self._claims = MemoryClaims(self._files)
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
        self._claims.abandon(key)

    def exists(self) -> bool:
        self._begin("exists", "")
        return True

    def make(self) -> None:
        self._begin("make", "")

    def claim_fault(self) -> str:
        self._begin("claim_fault", "")
        return ""

    def entries(self, folder: str) -> list[Entry]:
        self._begin("entries", folder)
        start = f"{folder}/" if folder else ""
        found = []
        for key in self._files.below(start):
            name, file = key.removeprefix(start), self._files.get(key)
            if file and "/" not in name and not name.startswith("."):
                found.append(file.entry(key))
        return found

    def entry(self, key: str) -> Entry | None:
        self._begin("entry", key)
        file = self._files.get(key)
        return file.entry(key) if file else None

    def left_out(self) -> list[str]:
        return []

    def names(self, folder: str, most: int) -> list[str]:
        self._begin("names", folder)
        start = f"{folder}/" if folder else ""
        inner = [key.removeprefix(start) for key in self._files.below(start)]
        return sorted({name + slash for name, slash, _ in (key.partition("/") for key in inner)})[:most]

    def tag(self, key: str) -> str | None:
        self._begin("tag", key)
        file = self._files.get(key)
        return file.tag if file else None

    def read(self, key: str, limit: int) -> bytes:
        return self.fetch(key, limit)[0]

    def fetch(self, key: str, limit: int) -> tuple[bytes, str | None]:
        self._begin("read", key)
        file = self._files.find(key, limit)
        return file.data, file.tag

    def part(self, key: str, begin: int, size: int, version: str | None = None) -> Part:
        self._begin("part", key)
        file = self._files.find(key)
        if version not in (None, file.tag):
            raise ConflictError(f"{self.url}/{key}: was changed while it was read")
        return Part(file.data[begin : begin + size], file.entry(key))

    def write(self, key: str, data: bytes) -> str:
        self._begin("write", key)
        return self._files.put(key, data)

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        self._begin("replace", key)
        return self._files.replace(key, data, seen)

    def move(self, source: str, target: str) -> None:
        self._begin("move", source)
        self._files.rename(source, target)

    def remove(self, key: str, seen: str | None = None) -> None:
        self._begin("remove", key)
        self._files.remove(key, seen)

    def tidy(self, folder: str) -> None:
        self._begin("tidy", folder)

    def claim(self, source: str, target: str) -> MemoryClaim | None:
        self._begin("claim", source)
        return self._claims.take(source, target, self._begin)

    def reserve(self, folder: str, part: str = "") -> MemoryReservation | None:
        self._begin("reserve", f"{folder}/{PARTS}/{part}" if part else folder)
        return self._claims.reserve(folder, part)

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        self._begin("glob", pattern)
        return (search or Search()).keys(self.url, pattern, lambda start, most: self._files.below(start))

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
