"""A folder as a store: claims are renames under a kernel lock, writes are renames after fsync."""

import contextlib
import errno
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.base import Entry
from pipeline.stores.lock import FolderClaim, Lock

_TEMPORARY = ".writing-"
_UMASK = os.umask(0o077)  # can only be read by setting it, which is not for threads to do
os.umask(_UMASK)
# What a file system says that has no hard links, such as exFAT or some network shares.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FILE_MODE = 0o666 & ~_UMASK
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class FolderStore:
    """Files below one folder; nothing outside of it, or of folders it links to, is ever touched."""

    atomic = False

    def __init__(self, path: str | Path) -> None:
        self.root = Path(path).resolve()
        self.url = str(path)
        self._mount = next(p for p in (self.root, *self.root.parents) if os.path.ismount(p) or p == p.parent)

    @classmethod
    def make(cls, path: str | Path) -> "FolderStore":
        """Make the folder where it is missing and try to write there. Raises `StoreError`."""
        store = cls(path)
        try:
            store.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=store.root):
                pass
        except OSError as error:
            raise _explained(str(store.root), error) from error
        return store

    def exclusive(self) -> bool:
        return True

    def entries(self, folder: str) -> list[Entry]:
        found = []
        self._check()
        with (
            self.faults(folder),
            contextlib.suppress(FileNotFoundError),
            os.scandir(self._path(folder)) as listing,
        ):
            for item in listing:
                with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                    info = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode) and not item.name.startswith("."):
                        version = f"{info.st_ino}-{info.st_size}-{info.st_mtime_ns}"
                        found.append(Entry(item.name, info.st_size, version))
        return sorted(found, key=lambda entry: entry.name)

    def tag(self, key: str) -> str | None:
        with self.faults(key):
            try:
                info = os.stat(self._path(key))
            except (FileNotFoundError, NotADirectoryError):
                self._check()
                return None
        return str(info.st_size) if stat.S_ISREG(info.st_mode) else None

    def read(self, key: str, limit: int) -> bytes:
        path = self._path(key)
        with self.faults(key), open(path, "rb", opener=lambda *_: self._open_beneath(path)) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
                raise StoreError(f"{path}: is {kind}; an ordinary file is needed")
            if info.st_size > limit:
                size, most = info.st_size / 2**20, limit / 2**20
                raise StoreError(f"{path}: has {size:.0f} MiB; at most {most:.0f} are read")
            return file.read(limit)

    def write(self, key: str, data: bytes) -> str:
        path = self._path(key)
        self._check()
        with self.faults(key):
            self._make_folder(path.parent)
            descriptor, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fchmod(descriptor, _FILE_MODE)
                    os.fsync(descriptor)
                os.replace(name, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(name)
                raise
            _sync(path.parent)
        return str(len(data))

    def move(self, source: str, target: str) -> None:
        old, new = self._path(source), self._path(target)
        with self.faults(source):
            self._make_folder(new.parent)
            try:
                os.link(old, new)
            except FileExistsError:
                raise ConflictError(f"{new}: a newer file has this name") from None
            except OSError as error:
                if error.errno not in _NO_LINKS or new.exists():
                    raise
                os.replace(old, new)
            else:
                os.unlink(old)
            _sync(new.parent)
            _sync(old.parent)

    def replace(self, source: str, target: str) -> None:
        """Rename a file, over whatever is there."""
        old, new = self._path(source), self._path(target)
        with self.faults(source):
            self._make_folder(new.parent)
            os.replace(old, new)
            _sync(new.parent)
            _sync(old.parent)

    def remove(self, key: str) -> None:
        with self.faults(key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._path(key).unlink()

    def tidy(self, folder: str) -> None:
        for left in self._path(folder).glob(f"**/{_TEMPORARY}*"):
            with contextlib.suppress(OSError):  # it is in nobody's way
                left.unlink()

    def claim(self, source: str, target: str) -> FolderClaim | None:
        path = self._path(target)
        with self.faults(target):
            self._make_folder(path.parent)
            lock = Lock.take(path)
        if lock is None:
            return None
        try:
            left = self.tag(target) is not None
            with self.faults(target):
                crashes = lock.read() if left else 0
                # Before anything is done with it, because that may be the end of us.
                lock.write(crashes + 1)
            if not left:
                self.replace(source, target)
        except NotFoundError:
            lock.close()
            return None
        except BaseException:
            lock.close()
            raise
        return FolderClaim(self, source, target, lock, crashes)

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

    def glob(self, pattern: str) -> list[str]:
        parts = Path(pattern).parts
        if ".." in parts or os.path.isabs(pattern):
            raise StoreError(f"'{pattern}': a pattern must stay below {self.url}")
        if os.path.isfile(self.root / pattern):
            return [pattern]  # a name with brackets, as browsers give to second downloads
        matches = glob.glob(pattern, root_dir=self.root, recursive=True)
        self._check()
        return sorted(match for match in matches if os.path.isfile(self.root / match))

    def _path(self, key: str) -> Path:
        """Where a key lives; raises `StoreError` if that is outside the root, links followed."""
        path = self.root / key
        try:
            inside = Path(os.path.realpath(path)).is_relative_to(self.root)
        except (OSError, ValueError) as error:
            raise StoreError(f"{key!r}: not a usable path ({error})") from None
        if not inside:
            raise StoreError(f"{key}: leads outside {self.url}, where nothing may be read")
        return path

    def _open_beneath(self, path: Path) -> int:
        """Open a file for reading; what was a link when the path was checked is none by now, or it fails."""
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
            # Non-blocking, because a FIFO would otherwise wait for a writer for ever.
            return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)

    def _make_folder(self, folder: Path) -> None:
        if os.path.isdir(folder):
            return
        self._check()  # made anew, a folder that was unmounted would swallow what belongs on the mount
        folder.mkdir(parents=True, exist_ok=True)
        _sync(folder.parent)

    def _check(self) -> None:
        """Raises `UnavailableError` if the folder is not there, or not what was mounted there at first."""
        # Not by a `Path`, which would raise where a network share has died.
        if not (os.path.isdir(self.root) and os.path.ismount(self._mount)):
            raise UnavailableError(f"{self.url}: no such folder; if it is on a volume, mount it again")

    @contextlib.contextmanager
    def faults(self, key: str) -> Iterator[None]:
        """Turns what the system says of a file into a `StoreError`."""
        try:
            yield
        except OSError as error:
            self._check()
            raise _explained(str(self.root / key), error) from error


def _sync(folder: Path) -> None:
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
    errno.ENXIO: "is not a regular file; an ordinary file is needed",
}
# What ends by itself or by the operator's hand, and is no fault of the file that was asked for.
_PASSING = {
    *(errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    *(errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT),
    *(errno.EMFILE, errno.ENFILE),
}


def _explained(path: str, error: OSError) -> StoreError:
    message = f"{path}: {_REASONS.get(error.errno or 0, error.strerror or str(error))}"
    if error.errno in _PASSING:
        return UnavailableError(message)
    return (NotFoundError if error.errno == errno.ENOENT else StoreError)(message)
