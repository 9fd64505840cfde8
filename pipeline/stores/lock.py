"""Locks on the names of files: flock() on a hidden file beside each, which the holder keeps renewing.

The kernel releases the lock when its process dies. Where several machines use one folder, that is not enough:
the locks may be unknown to the other machines, or the server may drop them while the holder lives. Therefore
the text of the file says which machine has the lock, and its holder changes the time of the file every few
seconds.
"""

import contextlib
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import PurePath

from pipeline.errors import ClaimLostError, NameRefusedError, StoreError
from pipeline.stores.holding import Holding, this_machine
from pipeline.stores.tree import Tree, listed
from pipeline.timing import Timing

_LONGEST = 2**20  # bytes of the text
_LOCK = ".lock-"
_WATCHED = 10_000  # locks of other machines that are remembered


class Locks:
    """Takes locks in one tree. One thread renews all that are held."""

    def __init__(self, tree: Tree, timing: Timing, alone: bool) -> None:
        """With `alone`, no other machine uses the folder, so that flock() excludes every other runner."""
        self._tree, self._timing, self._alone = tree, timing, alone
        self._seen: dict[str, tuple[object, float]] = {}  # versions of others' locks, and since when
        self._held: set[Lock] = set()
        self._guard = threading.Lock()
        self._thread: threading.Thread | None = None

    def take(self, key: str) -> "Lock | None":
        """Lock the name of a file, which need not exist; none if another runner holds it. Raises `OSError`.

        If the lock is free, but a runner on another machine had it and has not marked it as stopped, it is
        taken only after it has not changed for `timing.lease` seconds by the monotonic clock of this machine.
        The clocks of two machines are never compared.
        """
        lock = _lock_file(key)
        descriptor = self._locked(lock)
        if descriptor is None:
            return None
        try:
            taken = Lock(self._tree, key, lock, descriptor, self._forget)
            if self._may_live(lock, descriptor, taken.before):
                os.close(descriptor)
                return None
        except BaseException:
            os.close(descriptor)
            raise
        self._keep(taken)
        return taken

    def held(self, key: str) -> bool:
        """Whether a runner holds the lock on the name of a file, or may hold it. Raises `OSError`.

        The lock is not taken. For an instant, `take` in another process finds it taken all the same.
        """
        return self._is_held(_lock_file(key))

    def any_held(self, folder: str) -> bool:
        """Whether this is so for any name in a folder, which need not exist. Raises `OSError`."""
        with (
            # Nobody has a lock in what is no folder of this store.
            contextlib.suppress(FileNotFoundError, NotADirectoryError, NameRefusedError),
            self._tree.folder(folder) as place,
            listed(place) as names,
        ):
            found = [name for name in os.listdir(names) if name.startswith(_LOCK)]
            # All of them, so that those of other machines are waited for at the same time.
            held = [name for name in found if self._is_held(f"{folder}/{name}")]
            return bool(held)
        return False

    def _is_held(self, lock: str) -> bool:
        try:
            descriptor = self._tree.open(lock)
        except (FileNotFoundError, NotADirectoryError):
            return False
        try:
            # Shared, so that several processes can ask at the same time.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return self._may_live(lock, descriptor, Holding.from_bytes(os.pread(descriptor, _LONGEST, 0)))
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)

    def _locked(self, lock: str) -> int | None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with self._tree.place(lock, make=True) as (folder, name):
            descriptor = os.open(name, flags, 0o666, dir_fd=folder)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The holder before may have deleted the file that was opened here. Another process may then
                # have created and locked a new one under the same name.
                there = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if os.path.samestat(os.fstat(descriptor), there):
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            except BaseException:
                os.close(descriptor)
                raise
        os.close(descriptor)
        return None

    def _may_live(self, lock: str, descriptor: int, before: Holding) -> bool:
        """Whether the holder before may be a process on another machine that still works."""
        if before.stopped or before.machine == this_machine() or self._excludes_all():
            self._seen.pop(lock, None)
            return False
        info = os.fstat(descriptor)
        version = info.st_ino, info.st_mtime_ns, before.owner
        if len(self._seen) > _WATCHED:
            self._seen.clear()  # which makes the wait longer and has no other effect
        known, since = self._seen.get(lock, (None, 0.0))
        if known != version:
            since = time.monotonic()
            self._seen[lock] = version, since
        return time.monotonic() - since < self._timing.lease

    def _excludes_all(self) -> bool:
        mount = self._tree.mount()
        return self._alone or (mount is not None and mount.of_one_machine)

    def _keep(self, lock: "Lock") -> None:
        with self._guard:
            self._held.add(lock)
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew_all, name="locks", daemon=True)
                self._thread.start()

    def _forget(self, lock: "Lock") -> None:
        with self._guard:
            self._held.discard(lock)

    def _renew_all(self) -> None:
        seconds = min(self._timing.lock_renewal, threading.TIMEOUT_MAX)
        while True:
            time.sleep(seconds)
            with self._guard:
                held = list(self._held)
                if not held:
                    self._thread = None
                    return
            for lock in held:
                lock.renew()


def _lock_file(key: str) -> str:
    """The key of the file that is locked so that nobody else works on the file with this key.

    The file itself is not locked: on NFS it would have to be open for writing, and on SMB this process could
    then not read it.
    """
    name = os.fsencode(PurePath(key).name)
    return str(PurePath(key).with_name(_LOCK + hashlib.sha256(name).hexdigest()[:24]))


class Lock:
    """A lock that this process holds. The text of its file remains after the death of the process."""

    def __init__(
        self, tree: Tree, key: str, lock: str, descriptor: int, on_end: Callable[["Lock"], None]
    ) -> None:
        """`key` is that of the file whose name is locked, `lock` that of the lock file."""
        self._tree, self._key, self._lock, self._descriptor = tree, key, lock, descriptor
        self._on_end, self._guard = on_end, threading.Lock()
        self.before = self._read()  # what the last holder has written
        self._owner = self.before.owner  # of the text that this process has read or written last
        self._loss = ""  # why the lock was lost

    @property
    def held(self) -> bool:
        """Whether it has not been closed yet."""
        return self._descriptor >= 0

    @property
    def lost(self) -> bool:
        """Whether a renewal has found that somebody has deleted the lock file or taken it over."""
        return bool(self._loss)

    def confirm(self) -> None:
        """Check that the lock file at its path is the locked one, and that nobody has changed its text.

        Raises `ClaimLostError`, and `StoreError` if that can't be found out.
        """
        with self._guard:
            self._confirm()

    def write(self, holding: Holding) -> None:
        """Replace the text, durably. Raises `ClaimLostError`, `StoreError`."""
        with self._guard:
            self._confirm()
            text = holding.to_bytes()
            with self._tree.faults(self._key):
                # In one step, blanks included, so that nobody reads a part of the earlier text.
                os.pwrite(self._descriptor, text.ljust(os.fstat(self._descriptor).st_size), 0)
                os.fsync(self._descriptor)
            self._owner = holding.owner

    def renew(self) -> None:
        """Show other machines that this process lives, unless the lock is lost."""
        # An unavailable folder is tried again at the next renewal. `confirm` raises the error.
        with self._guard, contextlib.suppress(StoreError):
            if self.held:
                self._confirm()
                with self._tree.faults(self._key):
                    os.utime(self._descriptor)

    def leave(self) -> None:
        """Release the lock, and leave the file and its text to the next holder."""
        with self._guard:
            self._end()

    def close(self) -> None:
        """Delete the file, and the text with it, and release the lock."""
        with self._guard:
            if self.held:
                # A file that can't be deleted prevents no later lock. One of another runner must stay.
                with contextlib.suppress(OSError, StoreError):
                    self._confirm()
                    with self._tree.place(self._lock) as (folder, name):
                        os.unlink(name, dir_fd=folder)
            self._end()

    def _end(self) -> None:
        if self.held:
            os.close(self._descriptor)
            self._descriptor = -1
            self._on_end(self)

    def _confirm(self) -> None:
        if not self.held:
            raise ClaimLostError(f"{self._tree.url}/{self._key}: the claim has ended")
        if not self._loss:
            with self._tree.faults(self._key):
                self._loss = self._find_loss()
        if self._loss:
            raise ClaimLostError(f"{self._tree.url}/{self._key}: {self._loss}; work on it stops")

    def _find_loss(self) -> str:
        if not any(self._is_there() for _ in range(2)):  # twice, as a folder may be back after the first try
            return "its lock file was deleted or replaced"
        return "" if self._read().owner == self._owner else "another runner has taken over"

    def _is_there(self) -> bool:
        try:
            # Opening it makes a network file system ask its server for what the file has now.
            fresh = self._tree.open(self._lock)
        except (FileNotFoundError, NotADirectoryError):
            self._tree.check()
            return False
        try:
            return os.path.samestat(os.fstat(fresh), os.fstat(self._descriptor))
        finally:
            os.close(fresh)

    def _read(self) -> Holding:
        return Holding.from_bytes(os.pread(self._descriptor, _LONGEST, 0))
