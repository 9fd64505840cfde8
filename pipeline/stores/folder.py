"""A folder as a store: claims are renames under a kernel lock, writes are renames after fsync."""

import contextlib
import errno
import fcntl
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import ConflictError, NotFoundError, StoreError
from pipeline.stores.base import Entry

_TEMPORARY = ".writing-"
_LOCK = ".lock-"
_UMASK = os.umask(0o077)  # can only be read by setting it, which is not for threads to do
os.umask(_UMASK)
# What a file system says that has no hard links, such as exFAT or some network shares.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FILE_MODE = 0o666 & ~_UMASK


class _Lock:
    """A locked file of our own; the kernel drops the lock when this process dies."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path, self._descriptor = path, descriptor

    @property
    def held(self) -> bool:
        return self._descriptor >= 0

    def close(self) -> None:
        if self.held:
            with contextlib.suppress(OSError):  # one that stays behind locks nobody out
                self._path.unlink()
            os.close(self._descriptor)
            self._descriptor = -1


class FolderClaim:
    """The hold on a file by the lock of its name."""

    def __init__(self, store: "FolderStore", source: str, key: str, lock: _Lock) -> None:
        self._store, self._source, self._key, self._lock = store, source, key, lock

    def read(self, limit: int) -> bytes:
        return self._store.read(self._key, limit)

    def confirm(self) -> None:
        pass  # nobody else can hold the lock while this process lives

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        if self._lock.held:
            self._store._replace(self._key, key)
            for other in clearing:
                self._store.remove(other)
            self._lock.close()

    def release(self) -> None:
        try:
            if self._lock.held:
                self._store.move(self._key, self._source)
        except ConflictError:
            pass  # a newer one waits; this one stays where the scan finds it
        finally:
            self._lock.close()


class FolderStore:
    """Files below one folder; nothing outside of it, or of folders it links to, is ever touched."""

    atomic = False

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

    def exclusive(self) -> bool:
        return True

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

    def tag(self, key: str) -> str | None:
        try:
            info = os.stat(self._path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _explained(self._path(key), error) from error
        return str(info.st_size) if stat.S_ISREG(info.st_mode) else None

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

    def write(self, key: str, data: bytes) -> str:
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
        return str(len(data))

    def move(self, source: str, target: str) -> None:
        old, new = self._path(source), self._path(target)
        try:
            self._make_folder(new.parent)
            try:
                os.link(old, new)
            except OSError as error:
                if error.errno not in _NO_LINKS or new.exists():
                    raise
                os.replace(old, new)
            else:
                os.unlink(old)
            _sync(new.parent)
            _sync(old.parent)
        except FileExistsError:
            raise ConflictError(f"{new}: a newer file has this name") from None
        except OSError as error:
            raise _explained(old, error) from error

    def _replace(self, source: str, target: str) -> None:
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
        lock = self._lock(target)
        if lock is None:
            return None
        try:
            if self.tag(target) is None:
                self._replace(source, target)
        except NotFoundError:
            lock.close()
            return None
        except BaseException:
            lock.close()
            raise
        return FolderClaim(self, source, target, lock)

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

    def _lock(self, key: str) -> "_Lock | None":
        path = self._path(key)
        # Not the file itself: NFS needs a writable descriptor, and on SMB a lock would keep us from reading.
        lock = path.parent / (_LOCK + hashlib.sha256(os.fsencode(path.name)).hexdigest()[:24])
        try:
            self._make_folder(path.parent)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever had it may have deleted it, and a third may hold a new one by now.
                if os.path.samestat(os.fstat(descriptor), os.lstat(lock)):
                    return _Lock(lock, descriptor)
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(descriptor)
        except OSError as error:
            raise _explained(lock, error) from error
        return None

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
