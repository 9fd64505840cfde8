"""Reads and writes in the folder of one manifest, so that a write that comes too late replaces nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pipeline.errors import (
    ClaimLostError,
    ConflictError,
    NameRefusedError,
    NotFoundError,
    StoreError,
    TooLargeError,
    UnavailableError,
)
from pipeline.stores.base import Entry, Store

Confirm = Callable[[], None]  # raises `ClaimLostError` if another runner may write the same files

# Errors that callers treat each in its own way, and `UnavailableError`, which this module raises itself.
_PASSED_ON = (
    *(ClaimLostError, ConflictError, NameRefusedError),
    *(NotFoundError, TooLargeError, UnavailableError),
)
_TRIES = 5  # to write one file that changes again and again


@contextmanager
def waiting_for_outbox() -> Iterator[None]:
    """Turn errors of the outbox into `UnavailableError`, so that the caller waits until it works again.

    A fault of the outbox, such as a missing permission, is no fault of the pair that meets it first. Only a
    name that the store cannot hold, a file that is too large, and a lost claim concern a single pair or
    manifest.
    """
    try:
        yield
    except _PASSED_ON:
        raise
    except StoreError as error:
        raise UnavailableError(str(error)) from error


class ResultFolder:
    """The folder of one manifest in the outbox. All methods may raise `UnavailableError`.

    Each write names the tag that it replaces. That tag is read before the claim is confirmed. So a runner
    that is paused between the check of its claim and its write cannot replace what the next runner has
    written.
    """

    def __init__(self, store: Store, manifest: str, confirm: Confirm) -> None:
        """`confirm` is called before each change."""
        self._store, self.manifest, self._confirm = store, manifest, confirm
        self.lists_tags = store.lists_tags

    def url(self, name: str = "") -> str:
        """The URL of a file, or its path; of the folder without a name."""
        return f"{self._store.url}/{self._key(name)}"

    def entries(self, folder: str = "") -> dict[str, Entry]:
        """The files directly in it, or in a folder in it, by their names as all methods here take them."""
        with waiting_for_outbox():
            listed = self._store.entries(self._key(folder))
            return {f"{folder}/{entry.name}" if folder else entry.name: entry for entry in listed}

    def tag(self, name: str) -> str | None:
        """The tag of a file now; none if there is no such file."""
        with waiting_for_outbox():
            return self._store.tag(self._key(name))

    def listed_tag(self, entries: Mapping[str, Entry], name: str) -> str | None:
        """The tag of a file, as a listing shows it; none if the listing does not have it."""
        entry = entries.get(name)
        return (entry.tag or self.tag(name)) if entry else None

    def fetch(self, name: str, limit: int) -> tuple[bytes, str | None]:
        """The content of a file, and its tag if `lists_tags`. Raises `NotFoundError` and `TooLargeError`."""
        with waiting_for_outbox():
            return self._store.fetch(self._key(name), limit)

    def put(self, name: str, data: bytes, seen: str | None) -> str:
        """Write a file in place of the one with the tag `seen`, or of another one that is there; its tag.

        Raises `ConflictError` if the file changes again and again although the claim holds.
        """
        with waiting_for_outbox():
            for _ in range(_TRIES):
                self._confirm()
                try:
                    return self._store.replace(self._key(name), data, seen)
                except (ConflictError, NotFoundError):
                    # Before the claim is confirmed again: afterwards it could be the tag of the next runner's
                    # file.
                    seen = self._store.tag(self._key(name))
            raise ConflictError(f"{self.url(name)}: another program keeps changing it; stop that program")

    def put_new(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one of this name; whether it was written."""
        with waiting_for_outbox():
            self._confirm()
            try:
                self._store.replace(self._key(name), data, None)
            except ConflictError:
                return False
        return True

    def remove(self, name: str, seen: str | None) -> None:
        """Delete the file with the tag `seen`; with none, nothing."""
        if seen is None:
            return
        with waiting_for_outbox():
            self._confirm()
            self._store.remove(self._key(name), seen)

    def _key(self, name: str) -> str:
        return f"{self.manifest}/{name}" if name else self.manifest
