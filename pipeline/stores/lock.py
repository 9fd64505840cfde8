"""A lock on the name of a file: flock() on a hidden file beside it, released by the kernel at a death."""

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

from pipeline.stores.holding import Holding

_LONGEST = 2**20  # bytes of the text
_LOCK = ".lock-"


class Lock:
    """A locked file of this program. It holds a text that remains after the death of the process."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    @classmethod
    def take(cls, path: Path) -> "Lock | None":
        """Lock the name of a file, which need not exist; none if it is locked already. Raises `OSError`."""
        # The file itself is not locked: NFS needs a writable descriptor for that, and on SMB the lock
        # would keep this process from reading the file.
        lock = path.parent / (_LOCK + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24])
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have deleted the file that was opened here. Another process may then
            # have created and locked a new one under the same name.
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
        """Whether it has not been closed yet."""
        return self._descriptor >= 0

    def read(self) -> Holding:
        """What the last holder has written. Raises `OSError`."""
        return Holding.from_bytes(os.pread(self._descriptor, _LONGEST, 0))

    def write(self, holding: Holding) -> None:
        """Replace the text, durably. Raises `OSError`."""
        text = holding.to_bytes()
        os.pwrite(self._descriptor, text, 0)
        os.ftruncate(self._descriptor, len(text))
        os.fsync(self._descriptor)

    def leave(self) -> None:
        """Release the lock, and leave the file and its text to the next holder."""
        if self.held:
            os.close(self._descriptor)
            self._descriptor = -1

    def close(self) -> None:
        """Delete the file, and the text with it, and release the lock."""
        if self.held:
            with contextlib.suppress(OSError):  # a file that can't be deleted locks nobody out
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1
