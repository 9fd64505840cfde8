"""A lock on the name of a file: flock() on a hidden file beside it, released by the kernel at a death."""

import contextlib
import fcntl
import hashlib
import os
from pathlib import Path

_LOCK = ".lock-"


class Lock:
    """A locked file of this program. It holds a number that remains after the death of the process."""

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

    def read(self) -> int:
        """The number in the file, 0 at first. Raises `OSError`."""
        text = os.pread(self._descriptor, 20, 0)
        return int(text) if text.isdigit() else 0

    def write(self, number: int) -> None:
        """Replace the number, durably. Raises `OSError`."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, str(number).encode(), 0)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Delete the file, and the number with it, and release the lock."""
        if self.held:
            with contextlib.suppress(OSError):  # a file that can't be deleted locks nobody out
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1
