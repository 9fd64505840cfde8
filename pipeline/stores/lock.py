"""The hold on a file in a folder: a lock beside it that the kernel drops when its holder dies."""

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import ConflictError

if TYPE_CHECKING:
    from pipeline.stores.folder import FolderStore

_LOCK = ".lock-"


class Lock:
    """A locked file of our own, with a number in it that outlives its writer."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    @classmethod
    def take(cls, path: Path) -> "Lock | None":
        """Lock the name of a file, which may be there or not; none if somebody has. Raises `OSError`."""
        # Not the file itself: NFS needs a writable descriptor, and on SMB a lock would keep us from reading.
        lock = path.parent / (_LOCK + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24])
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever had it may have deleted it, and a third may hold a new one by now.
            if os.path.samestat(os.fstat(descriptor), os.lstat(lock)):
                return cls(lock, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    @property
    def held(self) -> bool:
        return self._descriptor >= 0

    def read(self) -> int:
        """The number, 0 at first; it is gone once the lock has been closed."""
        text = os.pread(self._descriptor, 20, 0)
        return int(text) if text.isdigit() else 0

    def write(self, number: int) -> None:
        """Put another number in, durably. Raises `OSError`."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(number).encode(), 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        if self.held:
            with contextlib.suppress(OSError):  # one that stays behind locks nobody out
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1


class FolderClaim:
    """The hold on a file by the lock of its name."""

    def __init__(self, store: "FolderStore", source: str, key: str, lock: Lock, crashes: int) -> None:
        self._store, self._source, self._key, self._lock = store, source, key, lock
        self.crashes = crashes

    def read(self, limit: int) -> bytes:
        return self._store.read(self._key, limit)

    def confirm(self) -> None:
        pass  # nobody else can hold the lock while this process lives

    def progressed(self) -> None:
        if self.crashes and self._lock.held:
            with self._store.faults(self._key):
                self._lock.write(1)  # as for a holder with no crash before it
            self.crashes = 0

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        if self._lock.held:
            for other in clearing:
                self._store.remove(other)
            self._store.replace(self._key, key)
            self._lock.close()

    def release(self) -> None:
        try:
            if self._lock.held:
                self._store.move(self._key, self._source)
        except ConflictError:
            pass  # a newer one waits; this one stays where the scan finds it
        finally:
            self._lock.close()
