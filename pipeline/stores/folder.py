"""A folder as a store: claims are renames under a kernel lock, writes are renames after fsync."""

import contextlib
import errno
import fcntl
import glob
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import NotFoundError, StoreError
from pipeline.stores.base import Entry

_TEMPORARY = ".writing-"
_MUTEX = ".lock"
_UMASK = os.umask(0o077)  # can only be read by setting it, which is not for threads to do
os.umask(_UMASK)
_FILE_MODE = 0o666 & ~_UMASK


class FolderClaim:
    """A file whose descriptor carries the lock; the kernel drops it when this process dies."""

    def __init__(self, store: "FolderStore", key: str, descriptor: int) -> None:
        self._store, self._key, self._descriptor = store, key, descriptor

    def move_to(self, key: str) -> None:
        if self._descriptor >= 0:
            self._store.move(self._key, key)
            self.release()

    def release(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class FolderStore:
    """Files below one folder; nothing outside of it, or of folders it links to, is ever touched."""

    def __init__(self, path: str | Path) -> None:
        self.root = Path(path).resolve()
        self.url = str(path)

    @classmethod
    def make(cls, path: str | Path) -> "FolderStore":
        """Make the folder where it is missing and try to write there. Raises `StoreError`."""
        store = cls(path)
        try:
            store.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=store.root):
                pass
        except OSError as error:
            raise _explained(store.root, error) from error
        return store

    def entries(self, folder: str) -> list[Entry]:
        found = []
        try:
            with os.scandir(self._path(folder)) as listing:
                for item in listing:
                    with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                        info = item.stat(follow_symlinks=False)
                        if stat.S_ISREG(info.st_mode) and not item.name.startswith("."):
                            version = f"{info.st_ino}-{info.st_size}-{info.st_mtime_ns}"
                            found.append(Entry(item.name, info.st_size, version))
        except FileNotFoundError:
            if not self.root.is_dir():
                raise NotFoundError(f"{self.url}: no such folder") from None
        except OSError as error:
            raise _explained(self._path(folder), error) from error
        return sorted(found, key=lambda entry: entry.name)

    def exists(self, key: str) -> bool:
        return os.path.isfile(self._path(key))

    def read(self, key: str, limit: int) -> bytes:
        path = self._path(key)
        try:
            # Non-blocking, because a FIFO would otherwise wait for a writer for ever.
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                info = os.fstat(file.fileno())
                if not stat.S_ISREG(info.st_mode):
                    kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
                    raise StoreError(f"{path}: is {kind}; an ordinary file is needed")
                if info.st_size > limit:
                    size, most = info.st_size / 2**20, limit / 2**20
                    raise StoreError(f"{path}: has {size:.0f} MiB; at most {most:.0f} are read")
                return file.read(limit)
        except OSError as error:
            raise _explained(path, error) from error

    def write(self, key: str, data: bytes) -> None:
        path = self._path(key)
        try:
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
        except OSError as error:
            raise _explained(path, error) from error

    def move(self, source: str, target: str) -> None:
        old, new = self._path(source), self._path(target)
        try:
            self._make_folder(new.parent)
            os.replace(old, new)
            _sync(new.parent)
            _sync(old.parent)
        except OSError as error:
            raise _explained(old, error) from error

    def remove(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise _explained(path, error) from error

    def claim(self, source: str, target: str) -> FolderClaim | None:
        descriptor = self._lock(source)
        if descriptor is None:
            return None
        claim = FolderClaim(self, target, descriptor)
        try:
            if source == target:
                return claim
            with self._mutex(target):
                if self.exists(target) or not self._is_at(descriptor, source):
                    claim.release()
                    return None
                self.move(source, target)
            if self._is_at(descriptor, target):
                return claim
        except NotFoundError:
            claim.release()
            return None
        except BaseException:
            claim.release()
            raise
        # Somebody replaced the file between our look and our move: hold what was moved.
        claim.release()
        return self.claim(target, target)

    def glob(self, pattern: str) -> list[str]:
        parts = Path(pattern).parts
        if ".." in parts or os.path.isabs(pattern):
            raise StoreError(f"'{pattern}': a pattern must stay below {self.url}")
        if os.path.isfile(self.root / pattern):
            return [pattern]  # a name with brackets, as browsers give to second downloads
        matches = glob.glob(pattern, root_dir=self.root, recursive=True)
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

    def _lock(self, key: str) -> int | None:
        path = self._path(key)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _explained(path, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError as error:
            os.close(descriptor)
            raise StoreError(f"{self.url}: this file system has no locks ({error})") from error
        if not self._is_at(descriptor, key):
            os.close(descriptor)
            return None
        return descriptor

    def _is_at(self, descriptor: int, key: str) -> bool:
        try:
            return os.path.samestat(os.fstat(descriptor), os.lstat(self._path(key)))
        except FileNotFoundError:
            return False

    @contextlib.contextmanager
    def _mutex(self, key: str) -> Iterator[None]:
        """Keeps two runners from moving onto the same key at once."""
        folder = self._path(key).parent
        try:
            self._make_folder(folder)
            descriptor = os.open(folder / _MUTEX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise _explained(folder, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if not self.root.is_dir():
            # Made anew, a folder that was unmounted would swallow what belongs on the mount.
            raise FileNotFoundError(errno.ENOENT, "no such folder", str(self.root))
        folder.mkdir(parents=True, exist_ok=True)
        _sync(folder.parent)


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
    errno.ENOSPC: "the disk is full; make room and try again",
    errno.EDQUOT: "the disk quota is used up; make room and try again",
    errno.EROFS: "the file system is read-only",
    errno.EISDIR: "is a folder; an ordinary file is needed",
    errno.ENOTDIR: "a part of the path is not a folder",
    errno.ELOOP: "its symbolic links go round in circles",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ENXIO: "is not a regular file; an ordinary file is needed",
}


def _explained(path: Path, error: OSError) -> StoreError:
    reason = _REASONS.get(error.errno or 0, error.strerror or str(error))
    kind = NotFoundError if error.errno == errno.ENOENT else StoreError
    return kind(f"{path}: {reason}")
