"""A folder and the paths below it: no key leads outside, and errors of the system become `StoreError`."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import NameRefusedError, NotFoundError, StoreError, UnavailableError

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class Tree:
    """The folder `root`, which `url` names as the operator wrote it, and everything below it."""

    def __init__(self, path: str | Path) -> None:
        self.url, self.root = str(path), Path(path).resolve()
        self._mount = next(p for p in (self.root, *self.root.parents) if os.path.ismount(p) or p == p.parent)

    def path(self, key: str) -> Path:
        """The path of a key. Raises `NameRefusedError` if it leads outside of the root through links."""
        path = self.root / key
        try:
            inside = Path(os.path.realpath(path)).is_relative_to(self.root)
        except (OSError, ValueError) as error:
            raise NameRefusedError(f"{key!r}: not a usable path ({error})") from None
        if not inside:
            raise NameRefusedError(f"{key}: leads outside {self.url}, where nothing may be read")
        return path

    def open(self, path: Path) -> int:
        """Open a file below the root for reading and return its descriptor. Raises `OSError`, `StoreError`.

        It fails where somebody replaces a part of the path by a symbolic link after the path was checked.
        """
        real = Path(os.path.realpath(path))
        if not real.is_relative_to(self.root):
            raise StoreError(f"{path}: leads outside {self.url}, where nothing may be read")
        *folders, name = real.relative_to(self.root).parts or (".",)
        folder = os.open(self.root, _FOLDER)
        try:
            for part in folders:
                inner = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
                os.close(folder)
                folder = inner
            # Non-blocking, because opening a FIFO would otherwise wait for a writer forever.
            return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)

    def make_folder(self, folder: Path) -> None:
        """Create a folder below the root if it is missing, durably."""
        if os.path.isdir(folder):
            return
        self.check()  # creating the root of an unmounted volume would write to the disk below the mount point
        folder.mkdir(parents=True, exist_ok=True)
        sync(folder.parent)

    def check(self) -> None:
        """Raises `UnavailableError` if the root is missing, or if its volume is no longer mounted."""
        # Not with the methods of `Path`, which raise an error where a network share has stopped.
        if not (os.path.isdir(self.root) and os.path.ismount(self._mount)):
            raise UnavailableError(f"{self.url}: no such folder; if it is on a volume, mount it again")

    @contextlib.contextmanager
    def faults(self, key: str) -> Iterator[None]:
        """Turn an `OSError` about a file into a `StoreError`, which is `UnavailableError` without a root."""
        try:
            yield
        except OSError as error:
            self.check()
            raise explained(str(self.root / key), error) from error


def sync(folder: Path) -> None:
    """Make renames in a folder durable. Raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_REASONS = {
    errno.ENOENT: "no such file",
    errno.EEXIST: "is a file; a folder is needed",
    errno.EACCES: "no permission; check its owner and mode",
    errno.EPERM: "no permission; check its owner and mode",
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the disk quota is used up; make room",
    errno.EROFS: "the file system is read-only; mount it for writing",
    errno.EISDIR: "is a folder; an ordinary file is needed",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.ELOOP: "its symbolic links go round in circles",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EINVAL: "the file system does not allow this name; choose another one",
    errno.EILSEQ: "the file system does not allow this name; choose another one",
    errno.ENXIO: "is not a regular file; an ordinary file is needed",
}
# Faults of the volume or the machine, not of one file. They end without a change to the file.
_TEMPORARY = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    *(errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE),
}
# The file system cannot hold a file of this name at this place.
_NAME_REFUSED = {
    *(errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ, errno.ELOOP),
    *(errno.EISDIR, errno.ENOTDIR, errno.EEXIST),
}


def explained(path: str, error: OSError) -> StoreError:
    """An error of the system as a sentence about a path."""
    message = f"{path}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}"
    if error.errno in _TEMPORARY:
        return UnavailableError(message)
    if error.errno in _NAME_REFUSED:
        return NameRefusedError(message)
    return (NotFoundError if error.errno == errno.ENOENT else StoreError)(message)
