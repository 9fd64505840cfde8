"""A folder and the paths below it: no key leads outside, and errors of the system become `StoreError`."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Sequence, Set
from pathlib import Path, PurePath

from pipeline.errors import NameRefusedError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.mounts import Mount, Tables

_LISTED = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC


class Tree:
    """The folder `root`, which `url` names as the operator wrote it, and everything below it.

    Files are reached through descriptors of open folders. Symbolic links that lead inside are resolved
    first; each folder is then opened without following links. So nothing outside is reached where somebody
    replaces a folder by a symbolic link in the meantime.
    """

    def __init__(self, path: str | Path, tables: Tables) -> None:
        self.url, self.root = str(path), Path(os.path.realpath(path))
        self._tables = tables
        os.path.isdir(f"{self.root}/.")  # makes an automounter mount it
        planned = tables.to_be_mounted()
        self._points = planned  # where the operator wants something to be mounted
        self._mount = self._nearest_mount(planned)
        self._planned = self._mount in planned
        self._seen: tuple[int, int] | None = None  # device and inode of the root

    def path(self, key: str) -> Path:
        """The path of a key. Raises `StoreError` if it is outside of the root after following links."""
        self._parts(key)
        return self.root / key

    @contextlib.contextmanager
    def folder(self, key: str, make: bool = False) -> Iterator[int]:
        """A descriptor of a folder, for `dir_fd`; with `make`, a missing one is created durably.

        Raises `OSError`, `StoreError`.
        """
        descriptor = self._descend(self._parts(key), make)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def place(self, key: str, make: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder that a key is in, as `folder` gives it, and the name there."""
        self.path(key)
        pure = PurePath(key)
        with self.folder(str(pure.parent), make) as descriptor:
            yield descriptor, pure.name

    def open(self, key: str) -> int:
        """Open a file for reading and return its descriptor. Raises `OSError`, `StoreError`."""
        *folders, name = self._parts(key) or (".",)
        folder = self._descend(folders)
        try:
            # Non-blocking, because opening a FIFO would otherwise wait for a writer forever.
            return os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        finally:
            os.close(folder)

    def is_file(self, key: str) -> bool:
        """Whether there is a regular file. Raises `OSError`, `StoreError`."""
        try:
            return stat.S_ISREG(os.stat(self.path(key)).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            self.check()
            return False

    def are_one_file(self, first: str, second: str) -> bool:
        """Whether two keys are two hard links to the same file. Raises `OSError`, `StoreError`."""
        try:
            with self.place(first) as one, self.place(second) as other:
                return one_file(one, other)
        except (FileNotFoundError, NotADirectoryError):
            return False

    def make(self) -> None:
        """Create the root if it is missing, durably. Raises `OSError`, `UnavailableError`."""
        self.check_planned()
        for folder in reversed([f for f in (self.root, *self.root.parents) if not os.path.isdir(f)]):
            try:
                os.mkdir(folder)
            except FileExistsError:
                if not os.path.isdir(folder):
                    raise
            above = os.open(folder.parent, _FOLDER)
            try:
                sync(above)
            finally:
                os.close(above)

    def mount(self) -> Mount | None:
        """The mount that the root is on, if the system says so."""
        return self._tables.mount_of(self.root)

    def exists(self) -> bool:
        """Whether the root is a folder. Raises `StoreError` if that cannot be found out."""
        self.check_planned()
        try:
            return stat.S_ISDIR(os.stat(self.root).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise explained(self.url, error) from None

    def check(self) -> None:
        """Raises `UnavailableError` if the root is missing, or if its volume is no longer mounted."""
        try:
            there = self.exists()
        except StoreError as error:  # permanent for a file; whatever hides the root may be over soon
            raise UnavailableError(str(error)) from None
        if not (there and self._is_mounted(self._mount)):
            raise UnavailableError(f"{self.url}: no such folder; if it is on a volume, mount it again")

    def check_planned(self) -> None:
        """Raises `UnavailableError` if a volume that the operator has planned for is not mounted."""
        if self._planned and not self._is_mounted(self._mount):
            raise UnavailableError(
                f"{self.url}: a volume is to be mounted at {self._mount}, but is not; mount it"
            )

    @contextlib.contextmanager
    def faults(self, key: str) -> Iterator[None]:
        """Turn an `OSError` about a file into a `StoreError`, which is `UnavailableError` without a root."""
        try:
            yield
        except OSError as error:
            self.check()
            raise explained(str(self.root / key), error) from error

    def _parts(self, key: str) -> tuple[str, ...]:
        """The names that lead from the root to a key, after following links. Raises `StoreError`."""
        root = str(self.root)
        try:
            real = os.path.realpath(os.path.join(root, key))
        except (OSError, ValueError) as error:
            raise NameRefusedError(f"{key!r}: not a usable path ({error})") from None
        # With strings, as this is called for each step and `Path` takes several times as long.
        if os.path.commonpath((root, real)) != root:
            raise NameRefusedError(f"{key}: leads outside {self.url}, where nothing may be read")
        return tuple(part for part in real[len(root) :].split("/") if part)

    def _descend(self, parts: Sequence[str], make: bool = False) -> int:
        folder = self._open_root()
        try:
            for part in parts:
                inner = _enter(folder, part, make)
                os.close(folder)
                folder = inner
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _open_root(self) -> int:
        folder = os.open(self.root, _FOLDER)
        try:
            info = os.fstat(folder)
            if (info.st_dev, info.st_ino) != self._seen:
                self._check_volume()
                self._seen = info.st_dev, info.st_ino
        except BaseException:
            os.close(folder)
            raise
        return folder

    def _check_volume(self) -> None:
        """Raises `UnavailableError` if the root is on another mount point than when this process started."""
        self.check()
        mount = self._nearest_mount()
        if mount != self._mount:
            raise UnavailableError(
                f"{self.url}: a volume was mounted at {mount} while this process was running, and hides what "
                "was written before; restart this process, or unmount the volume"
            )

    def _is_mounted(self, path: Path) -> bool:
        """Whether something is mounted at a path."""
        if os.path.ismount(path):
            return True
        # `ismount` does not see a folder that is bound to another place of the same volume.
        mount = self._tables.mount_of(path) if path in self._points else None
        return mount is not None and mount.point == path

    def _nearest_mount(self, planned: Set[Path] = frozenset()) -> Path:
        above = (self.root, *self.root.parents)
        return next(p for p in above if p in planned or self._is_mounted(p) or p == p.parent)


@contextlib.contextmanager
def listed(folder: int) -> Iterator[int]:
    """Another descriptor of an open folder, by which it can be listed and synchronised. Raises `OSError`."""
    descriptor = os.open(".", _LISTED, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def sync(folder: int) -> None:
    """Make changes of names in an open folder durable. Raises `OSError`."""
    with listed(folder) as descriptor:
        os.fsync(descriptor)


def one_file(first: tuple[int, str], second: tuple[int, str]) -> bool:
    """Whether two different names in open folders are hard links to the same file."""
    try:
        one, other = (os.stat(name, dir_fd=f, follow_symlinks=False) for f, name in (first, second))
    except FileNotFoundError:
        return False
    is_same_name = first[1] == second[1] and os.path.samestat(os.fstat(first[0]), os.fstat(second[0]))
    return os.path.samestat(one, other) and one.st_nlink > 1 and not is_same_name


def _enter(folder: int, name: str, make: bool) -> int:
    """Open a folder within an open one."""
    try:
        return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)
    except NotADirectoryError:
        if make:
            raise FileExistsError(errno.EEXIST, "is a file") from None
        raise
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):  # another process was quicker, but may not have synced it yet
        os.mkdir(name, dir_fd=folder)
    sync(folder)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=folder)


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
    errno.EXDEV: "lies on another volume; put the whole folder on one volume",
    errno.ENOTCONN: "its network share has stopped; mount it again",
    errno.ESTALE: "its network share has changed; mount it again",
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
