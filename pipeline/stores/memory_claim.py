"""Claims on files of a `MemoryStore`, and reservations of its folders."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from pipeline.errors import ClaimLostError, TakenAwayError
from pipeline.stores.base import PARTS, History
from pipeline.stores.memory_files import MemoryFiles

Begin = Callable[[str, str], None]  # gets the verb and the key of a call before it has any effect


class MemoryClaims:
    """The claims and reservations of one store, and the histories that earlier holders left."""

    def __init__(self, files: MemoryFiles) -> None:
        self.files = files
        self.held: dict[str, MemoryClaim] = {}
        self.histories: dict[str, tuple[str, History]] = {}  # by key: of which content, and what happened
        self.reserved: dict[str, MemoryReservation] = {}

    def take(self, source: str, target: str, begin: Begin) -> "MemoryClaim | None":
        """Claim a file, as `Store.claim` does. `begin` is called with each call of the claim."""
        with self.files.lock:
            if target in self.held:
                return None
            if target not in self.files:
                if source not in self.files:
                    return None
                self.files.rename(source, target)
            content = hashlib.sha256(self.files.find(target).data).hexdigest()
            of_content, history = self.histories.pop(target, ("", History()))
            if of_content != content:
                history = History()
            claim = self.held[target] = MemoryClaim(self, source, target, content, history, begin)
        return claim

    def reserve(self, folder: str, part: str) -> "MemoryReservation | None":
        """Reserve a folder or a part of it, as `Store.reserve` does."""
        key, parts = f"{folder}/{PARTS}/{part}" if part else folder, f"{folder}/{PARTS}/"
        with self.files.lock:
            taken = self.reserved.keys()
            if key in taken or folder in taken or (not part and any(k.startswith(parts) for k in taken)):
                return None
            reservation = self.reserved[key] = MemoryReservation(self.reserved, key)
        return reservation

    def abandon(self, key: str) -> None:
        """End the claim on a file, or the reservation of a folder, as the death of its process does."""
        with self.files.lock:
            if self.reserved.pop(key, None):
                return
            claim = self.held.pop(key)
            history = claim.history.after_stop() if claim.stopped else claim.history.after_death()
            self.histories[key] = claim.content, history


class MemoryReservation:
    """The reservation of a folder of a `MemoryStore`."""

    def __init__(self, reserved: dict[str, "MemoryReservation"], folder: str) -> None:
        self._reserved, self._folder = reserved, folder

    def confirm(self) -> None:
        if self._reserved.get(self._folder) is not self:
            raise ClaimLostError(f"{self._folder}: another process publishes there")

    def close(self) -> None:
        if self._reserved.get(self._folder) is self:
            del self._reserved[self._folder]


class MemoryClaim:
    """The claim on a file of a `MemoryStore`."""

    def __init__(
        self, claims: MemoryClaims, source: str, key: str, content: str, history: History, begin: Begin
    ) -> None:
        self._claims, self._files, self._begin = claims, claims.files, begin
        self._source, self._key, self._ended = source, key, False
        self.content, self.history, self.stopped = content, history, False

    def read(self, limit: int) -> bytes:
        self._begin("read", self._key)
        return self._files.find(self._key, limit).data

    def confirm(self) -> None:
        with self._begun("confirm"):
            self._check()

    def present(self) -> bool:
        with self._begun("present"):
            return self._holds() and self._key in self._files

    def note(self, history: History) -> None:
        with self._begun("note"):
            self._check()
            self.history = history

    def stopping(self) -> None:
        with self._begun("stopping"):
            self.stopped = True

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        with self._begun("move_to", key):
            if self._ended:
                return
            self._check()
            for other in clearing:
                self._files.remove(other)
            self._files.rename(self._key, key, replace=True)
            self._end()

    def release(self) -> None:
        with self._begun("release"):
            # Where a newer file waits, this one stays where the next scan finds it.
            if self._holds() and self._key in self._files and self._source not in self._files:
                self._files.rename(self._key, self._source)
            if self._holds() and self.history != History():
                self._claims.histories[self._key] = self.content, self.history.after_stop()
            self._end()

    def drop(self) -> None:
        with self._begun("drop"):
            self._end()

    @contextmanager
    def _begun(self, verb: str, key: str | None = None) -> Iterator[None]:
        self._begin(verb, self._key if key is None else key)
        with self._files.lock:
            yield

    def _check(self) -> None:
        place = f"{self._files.url}/{self._key}"
        if self._ended:
            raise ClaimLostError(f"{place}: the claim has ended")
        if not self._holds():
            raise ClaimLostError(f"{place}: another runner has taken over")
        if self._key not in self._files:
            raise TakenAwayError(place)

    def _holds(self) -> bool:
        return self._claims.held.get(self._key) is self

    def _end(self) -> None:
        self._ended = True
        if self._holds():
            del self._claims.held[self._key]
