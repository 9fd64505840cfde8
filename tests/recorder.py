"""Records what this process does to the names and contents below a folder, for `tests.disk`. Linux only."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

from tests.disk import Data, Disk, Named, Place, Step, Sync

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_NAMELESS = getattr(os, "O_TMPFILE", 0)
_DATA = ("write", "pwrite", "ftruncate")
_NOT_UNDERSTOOD = ("rmdir", "symlink", "truncate", "writev", "pwritev", "sendfile", "copy_file_range")
# Audit events of changes. A function that is recorded causes them, too.
_CHANGES = {f"os.{name}" for name in ("link", "mkdir", "remove", "rename", "rmdir", "symlink", "truncate")}


@contextmanager
def recorded(root: Path) -> Iterator[tuple[Disk, list[Step]]]:
    """What is below a folder at first, and every step that this process takes there from now on.

    Nothing is synchronised meanwhile, which would take long. Understood are the functions of `os` that
    `FolderStore` uses, and what it writes through files that `os.open` has opened. Raises `AssertionError` at
    the end if this process has changed anything below the folder in another way.
    """
    recorder = _Recorder(root)
    with mock.patch.multiple(os, **recorder.functions()), _audited(recorder.hear):
        yield recorder.disk, recorder.steps
        recorder.end()
    assert not recorder.unknown, f"the recorder does not understand {recorder.unknown}"


class _Recorder:
    """Stands in for functions of `os`."""

    def __init__(self, root: Path) -> None:
        self.disk, self._device = Disk(root), root.stat().st_dev
        self.steps: list[Step] = []
        self.unknown: list[str] = []
        self._guard, self._within = threading.Lock(), threading.local()
        # By inode, descriptors of the files that were there at first, or were opened for writing. An inode is
        # not used for another file while it has one.
        self._files = {
            path.stat().st_ino: os.open(path, os.O_RDONLY) for path in root.rglob("*") if path.is_file()
        }
        self._contents = dict(self.disk.contents)
        self._os = {name: getattr(os, name) for name in ("open", "mkdir", "rename", "link", "unlink")}

    def functions(self) -> dict[str, Any]:
        """What to replace in `os`, by name."""
        return {
            **{name: self._refusing(name) for name in _NOT_UNDERSTOOD},
            **{name: self._writing(getattr(os, name)) for name in _DATA},
            **dict.fromkeys(("rename", "replace"), self._rename),
            **dict.fromkeys(("unlink", "remove"), self._unlink),
            **dict.fromkeys(("fsync", "fdatasync"), self._fsync),
            "open": self._open,
            "mkdir": self._mkdir,
            "link": self._link,
        }

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Note a change that was made without a function that is recorded."""
        if getattr(self._within, "call", False):
            return
        opened = event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & _WRITES
        if opened or event in _CHANGES:
            for path in arguments:
                with suppress(OSError):
                    # A name without a folder is one in an open folder, which is not among the arguments.
                    if isinstance(path, str) and ("/" not in path or self._place(path, None)):
                        self.unknown.append(f"{event} {arguments}")

    def end(self) -> None:
        with self._call():
            for descriptor in self._files.values():
                os.close(descriptor)

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> Any:
        if not flags & _WRITES or flags & _NAMELESS == _NAMELESS:
            return self._os["open"](path, flags, mode, dir_fd=dir_fd)
        with self._call():
            place = self._place(path, dir_fd)
            known = place and self._node(path, dir_fd)
            descriptor = self._os["open"](path, flags, mode, dir_fd=dir_fd)
            if place:
                node = os.fstat(descriptor).st_ino
                if node != known:
                    self.steps.append(Named(node, place))
                if node not in self._files:
                    # Another open file, because a copy of the descriptor would keep the lock on the file.
                    self._files[node] = self._os["open"](f"/proc/self/fd/{descriptor}", os.O_RDONLY)
            return descriptor

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        with self._call():
            place = self._place(path, dir_fd)
            self._os["mkdir"](path, mode, dir_fd=dir_fd)
            if place and (node := self._node(path, dir_fd)):
                self.disk.folders.add(node)
                self.steps.append(Named(node, place))

    def _rename(
        self, source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        with self._call():
            off, to = self._place(source, src_dir_fd), self._place(target, dst_dir_fd)
            node, replaced = self._node(source, src_dir_fd), self._node(target, dst_dir_fd)
            self._os["rename"](source, target, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            if (off or to) and node and node != replaced:  # two names of one file are left as they are
                self.steps.append(Named(node, to, off))

    def _link(
        self,
        source: Any,
        target: Any,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        with self._call():
            to, node = self._place(target, dst_dir_fd), self._node(source, src_dir_fd)
            folders = {"src_dir_fd": src_dir_fd, "dst_dir_fd": dst_dir_fd}
            self._os["link"](source, target, follow_symlinks=follow_symlinks, **folders)
            if to and node:
                self.steps.append(Named(node, to))

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        with self._call():
            off, node = self._place(path, dir_fd), self._node(path, dir_fd)
            self._os["unlink"](path, dir_fd=dir_fd)
            if off and node:
                self.steps.append(Named(node, off=off))

    def _fsync(self, file: Any) -> None:
        with self._call():
            node = os.fstat(file).st_ino
            if node in self.disk.folders or node in self._files:
                self.steps.append(Sync(node))

    def _writing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            with self._call():
                found = function(*arguments)
                self._note_data()
                return found

        return call

    def _refusing(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.unknown.append(f"os.{name} {arguments} {named}")
            raise AssertionError(self.unknown[-1])

        return call

    @contextmanager
    def _call(self) -> Iterator[None]:
        """One call at a time. What was written to files before it comes before it among the steps."""
        with self._guard:
            self._within.call = True
            try:
                self._note_data()
                yield
            finally:
                self._within.call = False

    def _note_data(self) -> None:
        for node, descriptor in self._files.items():
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
            if content != self._contents.get(node, b""):
                self._contents[node] = content
                self.steps.append(Data(node, content))

    def _place(self, path: Any, dir_fd: int | None) -> Place | None:
        """The folder and the name of a path; none if it is not below the recorded folder."""
        above, name = os.path.split(os.fspath(path))
        assert dir_fd is None or not above, f"{path}: only a plain name in an open folder is understood"
        info = os.stat(above or ".") if dir_fd is None else os.fstat(dir_fd)
        inside = info.st_dev == self._device and info.st_ino in self.disk.folders
        return (info.st_ino, name) if inside else None

    def _node(self, path: Any, dir_fd: int | None) -> int | None:
        try:
            return os.stat(path, dir_fd=dir_fd, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None


_hear: list[Callable[[str, tuple[Any, ...]], None]] = []  # an audit hook can not be removed
_installed: list[bool] = []


@contextmanager
def _audited(hear: Callable[[str, tuple[Any, ...]], None]) -> Iterator[None]:
    if not _installed:
        _installed.append(True)
        sys.addaudithook(lambda event, arguments: [each(event, arguments) for each in _hear] and None)
    _hear.append(hear)
    try:
        yield
    finally:
        _hear.remove(hear)
