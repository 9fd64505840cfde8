"""Reads of the files below a folder: whole, in parts, and their digests."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterator
from io import BufferedReader

from pipeline.errors import ConflictError, NotFoundError, StoreError, TooLargeError
from pipeline.stores.base import Entry, Part
from pipeline.stores.tree import Tree

_HASHED = 2**26  # bytes of a claimed file that is identified by its content; a larger one is no manifest


class Reads:
    """Reads files of one tree. All methods may raise `StoreError`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def whole(self, key: str, limit: int) -> bytes:
        """The whole content. Raises `NotFoundError`, and `TooLargeError` if it exceeds `limit` bytes."""
        with self._opened(key) as (file, info):
            if info.st_size > limit:
                raise TooLargeError.of(str(self._tree.root / key), info.st_size, limit)
            return file.read(limit)

    def part(self, key: str, begin: int, size: int, version: str | None) -> Part:
        """A part, as `Store.part` returns it."""
        with self._opened(key) as (file, before):
            file.seek(begin)
            data = file.read(size)
            entry = entry_of(os.path.basename(key), os.fstat(file.fileno()))
        # The second comparison notices that somebody has changed the file in place during the read.
        if version not in (None, entry.version) or entry_of(entry.name, before) != entry:
            raise ConflictError(f"{self._tree.root / key}: was changed while it was read")
        return Part(data, entry)

    def digest(self, key: str) -> str | None:
        """The SHA-256 of the content; none if the file was deleted in the meantime."""
        try:
            with self._opened(key) as (file, _):
                return hashlib.file_digest(file, "sha256").hexdigest()
        except NotFoundError:
            return None

    def identity(self, key: str) -> str:
        """A digest of a file, or the size of one that is too large for a manifest."""
        with self._opened(key) as (file, info):
            if info.st_size > _HASHED:
                return f"{info.st_size} bytes"
            return hashlib.file_digest(file, "sha256").hexdigest()

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[tuple[BufferedReader, os.stat_result]]:
        """An ordinary file, and its state when it was opened."""
        path = self._tree.root / key
        # With an opener, the descriptor is closed also where it is that of a folder, which can't be read. It
        # ignores the path that it is given, and a key may have characters that no path may have.
        with self._tree.faults(key), open("", "rb", opener=lambda *_: self._tree.open(key)) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
                raise StoreError(f"{path}: is {kind}; an ordinary file is needed")
            yield file, info


def entry_of(name: str, info: os.stat_result) -> Entry:
    """The entry of a file in this state."""
    version = f"{info.st_ino}-{info.st_size}-{info.st_mtime_ns}"
    # A move changes the second of these times only. So does a change of the owner or the mode.
    placed = max(info.st_mtime, info.st_ctime)
    return Entry(name, info.st_size, version, info.st_mtime, placed)
