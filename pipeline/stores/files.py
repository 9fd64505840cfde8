"""Changes of the files below a folder: each is whole, and durable when it returns."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from uuid import uuid4

from pipeline.errors import ConflictError
from pipeline.stores.tree import Tree, one_file, sync

TEMPORARY = ".writing-"
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Errors of file systems without hard links, such as exFAT and some network shares.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

_Place = tuple[int, str]  # a descriptor of a folder, and a name there


class Files:
    """Writes, moves and deletes files of one tree. All methods may raise `StoreError`."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def locks_exclude(self) -> bool:
        """Whether a lock on one descriptor of a new file keeps another descriptor of it from being locked."""
        name = f"{TEMPORARY}{uuid4().hex}"
        with self._tree.faults(""), self._tree.folder("") as folder, contextlib.ExitStack() as stack:
            first = stack.enter_context(open(os.open(name, NEW, 0o600, dir_fd=folder)))
            stack.callback(os.unlink, name, dir_fd=folder)
            second = stack.enter_context(open(os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=folder)))
            try:
                fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            except OSError:
                return False  # locks are not supported
            return False

    def write(self, key: str, data: bytes, absent: bool = False) -> None:
        """Write a file under a temporary name, and give it its name when its content is durable.

        With `absent`, raises `ConflictError` if there is a file of this name already.
        """
        with self._tree.faults(key), self._tree.place(key, make=True) as (folder, name):
            temporary = f"{TEMPORARY}{uuid4().hex}"
            descriptor = os.open(temporary, NEW, 0o666, dir_fd=folder)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(descriptor)
                if absent:
                    self._name_if_absent((folder, temporary), (folder, name), key)
                else:
                    os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary, dir_fd=folder)
                raise
            sync(folder)

    def move(self, source: str, target: str) -> None:
        """Rename a file. Raises `NotFoundError`, and `ConflictError` if there is a file at `target`."""
        with self._moving(source, target) as (old, new):
            try:
                linked = self._link(old, new, target)
            except FileExistsError:
                place = self._tree.root / target
                raise ConflictError(f"{place}: a newer file has this name") from None
            if linked:
                sync(new[0])  # before the other name goes
                os.unlink(old[1], dir_fd=old[0])
            else:
                os.replace(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])

    def rename(self, source: str, target: str) -> None:
        """Rename a file; a file at `target` is replaced. Raises `NotFoundError`."""
        with self._moving(source, target) as (old, new):
            os.replace(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])
            if one_file(old, new):  # then the system has changed nothing
                os.unlink(new[1], dir_fd=new[0])
                os.replace(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])

    def remove(self, key: str) -> None:
        """Delete a file if it exists."""
        with self._tree.faults(key):
            try:
                with self._tree.place(key) as (folder, name):
                    os.unlink(name, dir_fd=folder)
                    sync(folder)
            except (FileNotFoundError, NotADirectoryError):
                self._tree.check()  # without the root, nobody knows whether there is such a file

    def tidy(self, folder: str) -> None:
        """Delete the temporary files in a folder and below it."""
        with contextlib.suppress(OSError), self._tree.folder(folder) as top:
            for _, _, names, place in os.fwalk(dir_fd=top):
                for name in names:
                    if name.startswith(TEMPORARY):
                        with contextlib.suppress(OSError):  # nobody uses it, so it may stay
                            os.unlink(name, dir_fd=place)

    def _name_if_absent(self, old: _Place, new: _Place, key: str) -> None:
        """Rename a file. Raises `ConflictError` if there is a file at `key`, which is the new place.

        On a file system without hard links, two processes may both succeed.
        """
        try:
            linked = self._link(old, new, key)
        except FileExistsError:
            if self._tree.is_file(key):
                raise ConflictError(f"{self._tree.root / key}: something else is there now") from None
            linked = False  # something that is no file has the name, and is replaced
        if linked:
            os.unlink(old[1], dir_fd=old[0])
        else:
            os.replace(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])

    def _link(self, old: _Place, new: _Place, target: str) -> bool:
        """Give a file a second name, that of `target`, which is the key of the new place.

        Returns false, and changes nothing, if the file system has no hard links. Raises `FileExistsError` if
        something else has that name, and other kinds of `OSError`.
        """
        (old_folder, old_name), (new_folder, new_name) = old, new
        folders = {"src_dir_fd": old_folder, "dst_dir_fd": new_folder}
        try:
            os.link(old_name, new_name, follow_symlinks=False, **folders)
        except FileExistsError:
            # A process may have died before it removed the old name, and NFS repeats a request whose answer
            # was lost.
            if not one_file(old, new):
                raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if self._tree.is_file(target):
                raise FileExistsError(errno.EEXIST, "is there already") from None
            return False
        return True

    @contextlib.contextmanager
    def _moving(self, source: str, target: str) -> Iterator[tuple[_Place, _Place]]:
        """The places of two keys; afterwards both folders are synchronised, the one of the target first."""
        with (
            self._tree.faults(source),
            self._tree.place(target, make=True) as new,
            self._tree.place(source) as old,
        ):
            yield old, new
            sync(new[0])
            sync(old[0])
