"""The claim on a file in a folder."""

import contextlib
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError, TakenAwayError
from pipeline.stores.base import History
from pipeline.stores.holding import Holding
from pipeline.stores.lock import Lock

if TYPE_CHECKING:
    from pipeline.stores.folder import FolderStore


class FolderClaim:
    """The claim on a file, by a lock on its name.

    Nobody else on this machine can take the lock while this process lives.
    """

    def __init__(self, store: "FolderStore", source: str, key: str, lock: Lock, holding: Holding) -> None:
        self._store, self._source, self._key, self._lock = store, source, key, lock
        self._holding = holding
        self._moved, self._changing = False, threading.Lock()

    @property
    def history(self) -> History:
        return self._holding.history

    def move_in(self) -> None:
        """Move the file to where claimed files lie. Raises `NotFoundError` if it has gone, `StoreError`."""
        try:
            self._store.rename(self._source, self._key)
        except NotFoundError:
            raise
        except BaseException:
            # That the file cannot be moved is no death of this process.
            with contextlib.suppress(StoreError):
                self.stopping()
            raise

    def read(self, limit: int) -> bytes:
        return self._store.read(self._key, limit)

    def confirm(self) -> None:
        self._lock.confirm()
        if not self.present():
            raise TakenAwayError(f"{self._store.url}/{self._key}")

    def present(self) -> bool:
        if not self._lock.held or self._lock.lost:
            return False
        # Checked twice: a volume that is mounted again just after the first try makes only that one fail.
        return self._moved or any(self._store.has(self._key) for _ in range(2))

    def note(self, history: History) -> None:
        self.confirm()
        self._change(history=history)

    def stopping(self) -> None:
        if self._lock.held and not self._holding.stopped:
            self._change(stopped=True)

    def _change(self, **changes: object) -> None:
        with self._changing:
            holding = self._holding.model_copy(update=changes)
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
            if self._lock.held and not self._moved:
                self.stopping()
                self._store.move(self._key, self._source)
        except ClaimLostError:
            pass  # the file belongs to another runner, or to the next one
        except ConflictError:
            pass  # a newer file waits; this one stays where the next scan finds it
        except NotFoundError:
            if self.present():
                raise  # it is not this file that is missing
        finally:
            # What happened before is left for the next holder. Without history, or once the file has been
            # moved, there is nothing to leave.
            self._lock.close() if self._moved or self.history == History() else self._lock.leave()

    def drop(self) -> None:
        self._lock.close()
