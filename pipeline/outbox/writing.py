"""Writes the files of one manifest to the outbox, so that a write that comes too late replaces nothing."""

from collections.abc import Callable, Iterator
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
from pipeline.stores.base import Store

Confirm = Callable[[], None]  # raises `ClaimLostError` if another runner may write the same files

# What a caller has to know apart, or what is waited for anyway.
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


class Writer:
    """Writes and deletes files in the folder of one manifest.

    Each write names the tag that it replaces. That tag is read before the claim is confirmed. So a runner
    that is paused between the check of its claim and its write cannot replace what the next runner has
    written.
    """

    def __init__(self, store: Store, manifest: str) -> None:
        self._store, self._manifest = store, manifest

    def tag(self, name: str) -> str | None:
        """The tag of a file now; none if there is no such file."""
        with waiting_for_outbox():
            return self._store.tag(f"{self._manifest}/{name}")

    def put(self, name: str, data: bytes, seen: str | None, confirm: Confirm) -> str:
        """Write a file in place of the one with the tag `seen`, or of another one that is there; its tag.

        Raises `ConflictError` if the file changes again and again although the claim holds.
        """
        key = f"{self._manifest}/{name}"
        with waiting_for_outbox():
            for _ in range(_TRIES):
                confirm()
                try:
                    return self._store.replace(key, data, seen)
                except (ConflictError, NotFoundError):
                    # Before the claim is confirmed again: afterwards it could be the tag of the next runner's
                    # file.
                    seen = self._store.tag(key)
            raise ConflictError(
                f"{self._store.url}/{key}: another program keeps changing it; stop that program"
            )

    def put_new(self, name: str, data: bytes, confirm: Confirm) -> bool:
        """Write a file unless there is one of this name; whether it was written."""
        with waiting_for_outbox():
            confirm()
            try:
                self._store.replace(f"{self._manifest}/{name}", data, None)
            except ConflictError:
                return False
        return True

    def remove(self, name: str, seen: str | None, confirm: Confirm) -> None:
        """Delete the file with the tag `seen`; with none, nothing."""
        if seen is None:
            return
        with waiting_for_outbox():
            confirm()
            self._store.remove(f"{self._manifest}/{name}", seen)
