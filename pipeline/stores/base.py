"""What the pipeline asks of a place that keeps files: a folder today, a bucket by the same few verbs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A file as a listing shows it; `version` changes whenever the content may have changed."""

    name: str
    size: int
    version: str


class Claim(Protocol):
    """The exclusive hold on one file; it ends with `move_to`, with `release`, or with this process.

    Once it has ended, both do nothing: the file may be somebody else's by then.
    """

    @property
    def crashes(self) -> int:
        """How many holders before this one, in a row, have died without a word of progress."""

    def read(self, limit: int) -> bytes:
        """The file's content, as `Store.read`."""

    def confirm(self) -> None:
        """Make sure that the hold is still ours. Raises `ClaimLostError`."""

    def progressed(self) -> None:
        """Whoever takes the file up after our death need not count any crash so far."""

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        """Move the file, over whatever is there, delete what is under `clearing`, and end the hold."""

    def release(self) -> None:
        """End the hold and put the file back; where a newer one waits already, leave it as abandoned."""


class Store(Protocol):
    """Files under keys like `done/a.json`; every method raises `StoreError` with a sentence."""

    url: str
    atomic: bool  # files appear whole, whoever writes them

    def exclusive(self) -> bool:
        """Whether a claim keeps other runners out, which some servers can't see to."""

    def entries(self, folder: str) -> Iterable[Entry]:
        """The files of one folder (`""` is the top), without those of folders in it."""

    def tag(self, key: str) -> str | None:
        """What `write` said of the file, as long as it is the very same; none where there is no file."""

    def read(self, key: str, limit: int) -> bytes:
        """The whole content. Raises `NotFoundError`, or `StoreError` above `limit` bytes."""

    def write(self, key: str, data: bytes) -> str:
        """Put a file in place, whole or not at all, and durably once this returns; its tag."""

    def move(self, source: str, target: str) -> None:
        """Rename a file. Raises `NotFoundError`, and `ConflictError` where there is a `target`."""

    def remove(self, key: str) -> None:
        """Delete a file; nothing happens where there is none."""

    def tidy(self, folder: str) -> None:
        """Remove what a writer that died has left in a folder; nobody may be writing there."""

    def claim(self, source: str, target: str) -> Claim | None:
        """Hold `target`, if its holder is gone, or else move `source` there; none if somebody holds it."""

    def glob(self, pattern: str) -> list[str]:
        """Keys of the files that match a pattern with `*`, `?`, `[...]` and `**`, sorted."""

    def absolute(self, reference: str) -> str:
        """A reference that is relative to this store made whole: a path, or a URL. Raises `StoreError`."""

    def key(self, absolute: str) -> str | None:
        """The key that a whole reference stands for; none if it leads elsewhere."""
