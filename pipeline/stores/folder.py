"""A folder as a store: a write is a rename after fsync, a claim is a rename under a lock."""

import contextlib
import errno
import glob
import hashlib
import os
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError
from pipeline.stores.base import Entry, History
from pipeline.stores.holding import Holding
from pipeline.stores.lock import Lock
from pipeline.stores.tree import Tree, explained, sync
from pipeline.timing import Timing

_TEMPORARY = ".writing-"
_UMASK = os.umask(0o077)  # it can be read only by changing it, which is not safe once there are threads
os.umask(_UMASK)
# Errors of file systems without hard links, such as exFAT and some network shares.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
_FILE_MODE = 0o666 & ~_UMASK
_HASHED = 2**23  # bytes of a claimed file that is identified by its content; a larger one is no manifest


class FolderStore:
    """Files below one folder. Nothing outside of it is read or written, through links neither."""

    atomic, lists_tags = False, False

    def __init__(self, path: str | Path, timing: Timing = Timing()) -> None:
        self._tree = Tree(path)
        self.url, self.root = self._tree.url, self._tree.root
        self.event_folder: Path | None = self.root
        self.idle_interval = timing.scan

    def exists(self) -> bool:
        return os.path.isdir(self.root)

    def make(self) -> None:
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise explained(str(self.root), error) from error

    def exclusive(self) -> bool:
        return True

    def surroundings(self) -> None:
        return None

    def entries(self, folder: str) -> list[Entry]:
        found = []
        self._tree.check()
        with (
            self._tree.faults(folder),
            contextlib.suppress(FileNotFoundError),
            os.scandir(self._tree.path(folder)) as listing,
        ):
            for item in listing:
                with contextlib.suppress(FileNotFoundError):  # deleted after it was listed
                    info = item.stat(follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode) and not item.name.startswith("."):
                        version = f"{info.st_ino}-{info.st_size}-{info.st_mtime_ns}"
                        found.append(Entry(item.name, info.st_size, version, info.st_mtime))
        return sorted(found, key=lambda entry: entry.name)

    def tag(self, key: str) -> str | None:
        with self._tree.faults(key):
            try:
                info = os.stat(self._tree.path(key))
            except (FileNotFoundError, NotADirectoryError):
                self._tree.check()
                return None
        return str(info.st_size) if stat.S_ISREG(info.st_mode) else None

    def read(self, key: str, limit: int) -> bytes:
        path = self._tree.path(key)
        with self._tree.faults(key), open(path, "rb", opener=lambda *_: self._tree.open(path)) as file:
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                kind = "a folder" if stat.S_ISDIR(info.st_mode) else "not a regular file"
                raise StoreError(f"{path}: is {kind}; an ordinary file is needed")
            if info.st_size > limit:
                size, most = info.st_size / 2**20, limit / 2**20
                raise StoreError(f"{path}: has {size:.0f} MiB; at most {most:.0f} are read")
            return file.read(limit)

    def fetch(self, key: str, limit: int) -> tuple[bytes, None]:
        return self.read(key, limit), None

    def write(self, key: str, data: bytes) -> str:
        path = self._tree.path(key)
        self._tree.check()
        with self._tree.faults(key):
            self._tree.make_folder(path.parent)
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
            sync(path.parent)
        return str(len(data))

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        if self.tag(key) != seen:
            raise ConflictError(f"{self.root / key}: something else is there now")
        return self.write(key, data)

    def move(self, source: str, target: str) -> None:
        old, new = self._tree.path(source), self._tree.path(target)
        with self._tree.faults(source):
            self._tree.make_folder(new.parent)
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
            sync(new.parent)
            sync(old.parent)

    def rename(self, source: str, target: str) -> None:
        """Rename a file; a file at `target` is replaced. Raises `NotFoundError`."""
        old, new = self._tree.path(source), self._tree.path(target)
        with self._tree.faults(source):
            self._tree.make_folder(new.parent)
            os.replace(old, new)
            sync(new.parent)
            sync(old.parent)

    def remove(self, key: str, seen: str | None = None) -> None:
        if seen is not None and self.tag(key) != seen:
            return
        with self._tree.faults(key), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            self._tree.path(key).unlink()

    def tidy(self, folder: str) -> None:
        for left in self._tree.path(folder).glob(f"**/{_TEMPORARY}*"):
            with contextlib.suppress(OSError):  # nobody uses it, so it may stay
                left.unlink()

    def claim(self, source: str, target: str) -> "FolderClaim | None":
        path = self._tree.path(target)
        with self._tree.faults(target):
            self._tree.make_folder(path.parent)
            lock = Lock.take(path)
        if lock is None:
            return None
        try:
            left = self.tag(target) is not None
            content = self._digest(target if left else source)
            holding = Holding(owner=uuid4().hex, content=content, history=lock.read().inherited(content))
            with self._tree.faults(target):
                # Before the file is moved or read, so that a death at any later moment is counted.
                lock.write(holding)
            if not left:
                self.rename(source, target)
        except NotFoundError:
            lock.close()
            return None
        except BaseException:
            lock.close()
            raise
        return FolderClaim(self, self._tree, source, target, lock, holding)

    def reserve(self, folder: str) -> Lock | None:
        path = self._tree.path(folder)
        with self._tree.faults(folder):
            self._tree.make_folder(path.parent)
            return Lock.take(path)

    def _digest(self, key: str) -> str:
        try:
            return hashlib.sha256(self.read(key, _HASHED)).hexdigest()
        except NotFoundError:
            raise
        except StoreError as error:
            return str(error)  # too large, for example, which is an identity as well

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
        self._tree.check()
        return sorted(match for match in matches if os.path.isfile(self.root / match))


class FolderClaim:
    """The claim on a file, by a lock on its name. Nobody else can take the lock while this process lives."""

    def __init__(
        self, store: FolderStore, tree: Tree, source: str, key: str, lock: Lock, holding: Holding
    ) -> None:
        self._store, self._tree, self._source, self._key, self._lock = store, tree, source, key, lock
        self._holding = holding
        self._moved = False

    @property
    def history(self) -> History:
        return self._holding.history

    def read(self, limit: int) -> bytes:
        return self._store.read(self._key, limit)

    def confirm(self) -> None:
        if not self._lock.held:
            raise ClaimLostError(f"{self._store.url}/{self._key}: the claim has ended")
        if not self.present():
            raise ClaimLostError(f"{self._store.url}/{self._key} was moved or deleted; work on it stops")

    def present(self) -> bool:
        # Checked twice: a volume that is mounted again just after the first try makes only that one fail.
        return self._lock.held and any(self._store.tag(self._key) is not None for _ in range(2))

    def note(self, history: History) -> None:
        self.confirm()
        self._write(self._holding.model_copy(update={"history": history}))

    def stopping(self) -> None:
        if self._lock.held:
            self._write(self._holding.model_copy(update={"stopped": True}))

    def _write(self, holding: Holding) -> None:
        with self._tree.faults(self._key):
            self._lock.write(holding)
        self._holding = holding

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        if not self._lock.held:
            return
        if not self._moved:
            self.confirm()
            try:
                self._store.rename(self._key, key)
            except NotFoundError:
                self.confirm()
                raise  # it is not this file that is missing
            self._moved = True
        # Only now: before the move, what lies there may be this very file, which `Inbox.cancel` has put
        # there.
        for other in clearing:
            self._store.remove(other)
        self._lock.close()

    def release(self) -> None:
        try:
            if self._lock.held:
                self.stopping()
                self._store.move(self._key, self._source)
        except ConflictError:
            pass  # a newer file waits; this one stays where the next scan finds it
        except NotFoundError:
            if self.present():
                raise  # it is not this file that is missing
        finally:
            # What happened before is left for the next holder; without history there is nothing to leave.
            self._lock.leave() if self.history != History() else self._lock.close()

    def drop(self) -> None:
        self._lock.close()
