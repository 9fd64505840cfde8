"""A folder as a store: a write is a rename after fsync, a claim is a rename under a lock."""

import contextlib
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from uuid import uuid4

from pipeline.errors import (
    ClaimLostError,
    ConflictError,
    NotFoundError,
    StoreError,
)
from pipeline.stores.base import PARTS, Entry, Part
from pipeline.stores.files import Files
from pipeline.stores.folder_claim import FolderClaim
from pipeline.stores.holding import Holding
from pipeline.stores.lock import Lock, Locks
from pipeline.stores.mounts import SYSTEM, Tables
from pipeline.stores.reads import Reads, entry_of
from pipeline.stores.search import Search, found_below
from pipeline.stores.tree import Tree, explained, listed
from pipeline.timing import Timing

_TAG = "sha256:"


class FolderStore:
    """Files below one folder. Nothing outside of it is read or written, not even through links.

    A tag is the SHA-256 of the content.
    """

    atomic, lists_tags = False, False
    surroundings: str | None = None

    def __init__(
        self,
        path: str | Path,
        timing: Timing = Timing(),
        alone: bool = False,
        tables: Tables = SYSTEM,
    ) -> None:
        """With `alone`, no other machine has a runner at this folder. `tables` says what is mounted."""
        self._tree = Tree(path, tables)
        self._files, self._reads = Files(self._tree), Reads(self._tree)
        self._locks = Locks(self._tree, timing, alone)
        self.url, self.root = self._tree.url, self._tree.root
        self.event_folder: Path | None = self.root
        self.idle_interval = timing.scan

    def exists(self) -> bool:
        return self._tree.exists()

    def make(self) -> None:
        try:
            self._tree.make()
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise explained(str(self.root), error) from error

    def claim_fault(self) -> str:
        mount = self._tree.mount()
        if mount and mount.lock_fault:
            return mount.lock_fault
        excludes = self._files.locks_exclude()
        return "" if excludes else "flock() has no effect in this file system; use another one"

    def entries(self, folder: str) -> list[Entry]:
        found = []
        with self._tree.faults(folder):
            for item in self._listed(folder):
                with contextlib.suppress(FileNotFoundError):  # deleted after it was listed
                    info = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode) and not item.name.startswith("."):
                        found.append(entry_of(item.name, info))
        return sorted(found, key=lambda entry: entry.name)

    def entry(self, key: str) -> Entry | None:
        with self._tree.faults(key):
            try:
                with self._tree.place(key) as (folder, name):
                    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except (FileNotFoundError, NotADirectoryError):
                self._tree.check()
                return None
        return entry_of(name, info) if stat.S_ISREG(info.st_mode) else None

    def left_out(self) -> list[str]:
        with self._tree.faults(""):
            items = self._listed("")
            return [i.name for i in items if i.is_symlink() or not (i.is_file() or i.is_dir())]

    def has(self, key: str) -> bool:
        """Whether there is a regular file. Unlike `tag`, this does not read it."""
        with self._tree.faults(key):
            return self._tree.is_file(key)

    def tag(self, key: str) -> str | None:
        digest = self._reads.digest(key) if self.has(key) else ""
        return _TAG + digest if digest else None

    def read(self, key: str, limit: int) -> bytes:
        return self._reads.whole(key, limit)

    def fetch(self, key: str, limit: int) -> tuple[bytes, None]:
        return self.read(key, limit), None

    def part(self, key: str, begin: int, size: int, version: str | None = None) -> Part:
        return self._reads.part(key, begin, size, version)

    def write(self, key: str, data: bytes) -> str:
        self._files.write(key, data)
        return _tag_of(data)

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        if seen is not None and self.tag(key) != seen:
            raise ConflictError(f"{self.root / key}: something else is there now")
        self._files.write(key, data, absent=seen is None)
        return _tag_of(data)

    def move(self, source: str, target: str) -> None:
        self._files.move(source, target)

    def rename(self, source: str, target: str) -> None:
        """Rename a file; a file at `target` is replaced. Raises `NotFoundError`."""
        self._files.rename(source, target)

    def remove(self, key: str, seen: str | None = None) -> None:
        if seen is None or self.tag(key) == seen:
            self._files.remove(key)

    def tidy(self, folder: str) -> None:
        self._files.tidy(folder)

    def claim(self, source: str, target: str) -> FolderClaim | None:
        with self._tree.faults(target):
            lock = self._locks.take(target)
        if lock is None:
            return None
        try:
            with self._tree.faults(target):
                # Where both names are one file, the rename below removes one of them.
                left = self._tree.is_file(target) and not self._tree.are_one_file(source, target)
            content = self._reads.identity(target if left else source)
            holding = Holding(owner=uuid4().hex, content=content, history=lock.before.inherited(content))
            # Before the file is moved or read, so that a death at any later moment is counted.
            lock.write(holding)
            claim = FolderClaim(self, source, target, lock, holding)
            if not left:
                claim.move_in()
        except (NotFoundError, ClaimLostError):
            lock.close()
            return None
        except BaseException:
            lock.leave()  # with the history of the holders before
            raise
        return claim

    def reserve(self, folder: str, part: str = "") -> Lock | None:
        with self._tree.faults(folder):
            lock = self._locks.take(f"{folder}/{PARTS}/{part}" if part else folder)
        if lock is None:
            return None
        try:
            lock.write(Holding(owner=uuid4().hex))
            # After this lock was taken: of two processes that begin together, at least one sees the other.
            with self._tree.faults(folder):
                others = self._locks.held(folder) if part else self._locks.any_held(f"{folder}/{PARTS}")
        except BaseException:
            lock.close()
            raise
        if others:
            lock.close()
            return None
        return lock

    def reference(self, key: str) -> str:
        return key

    def absolute(self, reference: str) -> str:
        if "://" in reference:
            return reference
        try:
            return os.path.realpath(self.root / reference)
        except (OSError, ValueError) as error:
            raise StoreError(f"{reference!r}: not a usable path ({error})") from None

    def key(self, absolute: str) -> str | None:
        inside = "://" not in absolute and Path(absolute).is_relative_to(self.root)
        return str(Path(absolute).relative_to(self.root)) if inside else None

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        parts = Path(pattern).parts
        if ".." in parts or os.path.isabs(pattern):
            raise StoreError(f"'{pattern}': a pattern must stay below {self.url}")
        if not parts:
            return []  # the folder itself
        if os.path.isfile(self.root / pattern):
            return [pattern]  # a name with brackets, as browsers give to second downloads
        matches = found_below(self.root, parts, search or Search())
        self._tree.check()
        return sorted(matches)

    def names(self, folder: str, most: int) -> list[str]:
        with self._tree.faults(folder):
            return [i.name + "/" * i.is_dir() for i in islice(self._listed(folder), most)]

    def _listed(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """What is directly in a folder; nothing if it does not exist. Raises `OSError`, `StoreError`."""
        self._tree.check()
        with (
            contextlib.suppress(FileNotFoundError),
            self._tree.folder(folder) as place,
            listed(place) as names,
            os.scandir(names) as listing,
        ):
            yield from listing


def _tag_of(data: bytes) -> str:
    return _TAG + hashlib.sha256(data).hexdigest()
