"""The files of a `MemoryStore`."""

import itertools
import math
import posixpath
import threading
import time
from dataclasses import dataclass

from pipeline.errors import ConflictError, NotFoundError, TooLargeError
from pipeline.stores.base import Entry


@dataclass(frozen=True)
class File:
    """One version of a file. Its tag differs from that of every other version in the store."""

    data: bytes
    tag: str
    modified: float

    def entry(self, key: str) -> Entry:
        """Its entry in a listing."""
        name, size = posixpath.basename(key), len(self.data)
        return Entry(name, size, self.tag, self.modified, self.modified, self.tag)


class MemoryFiles:
    """Files by their keys. A caller that does several steps as one holds `lock` meanwhile."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._files: dict[str, File] = {}
        self._tags, self.lock = itertools.count(1), threading.RLock()

    def __contains__(self, key: str) -> bool:
        return key in self._files

    def below(self, start: str) -> list[str]:
        """The keys that begin with `start`, sorted."""
        with self.lock:
            return sorted(key for key in self._files if key.startswith(start))

    def get(self, key: str) -> File | None:
        """A file; none if there is none."""
        return self._files.get(key)

    def find(self, key: str, limit: float = math.inf) -> File:
        """A file. Raises `NotFoundError`, and `TooLargeError` if it exceeds `limit` bytes."""
        file = self._files.get(key)
        if file is None:
            raise NotFoundError(f"{self.url}/{key}: no such file")
        if len(file.data) > limit:
            raise TooLargeError.of(f"{self.url}/{key}", len(file.data), int(limit))
        return file

    def put(self, key: str, data: bytes) -> str:
        """Write a file and return its tag."""
        with self.lock:
            file = self._files[key] = File(data, f"v{next(self._tags)}", time.time())
        return file.tag

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        """Write a file in place of the one with the tag `seen`, or of none. Raises `ConflictError`."""
        with self.lock:
            file = self._files.get(key)
            if (file and file.tag) != seen:
                raise ConflictError(f"{self.url}/{key}: something else is there now")
            return self.put(key, data)

    def rename(self, source: str, target: str, replace: bool = False) -> None:
        """Rename a file. Raises `NotFoundError`, and `ConflictError` if `target` exists unless `replace`."""
        with self.lock:
            file = self.find(source)
            if target in self._files and not replace:
                raise ConflictError(f"{self.url}/{target}: a newer file has this name")
            del self._files[source]
            self._files[target] = file

    def remove(self, key: str, seen: str | None = None) -> None:
        """Delete a file if it exists; with `seen`, only if it has this tag."""
        with self.lock:
            file = self._files.get(key)
            if file and seen in (None, file.tag):
                del self._files[key]
