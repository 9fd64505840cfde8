"""The protocol of a store: a place that keeps files, such as a folder or the objects under a prefix."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from pipeline.stores.search import Search

PARTS = ".shards"  # a hidden folder within a folder; it has what belongs to one part of that folder only


@dataclass(frozen=True)
class Entry:
    """One file of a listing.

    `version` changes whenever the content may have changed. `modified` is when the file was last modified,
    in seconds since the epoch, by the clock of the store. `placed` is when it was modified or moved to this
    name, whichever was last; entries that differ in this alone are equal. `tag` is what `Store.tag` returns,
    if a listing of this store has it.
    """

    name: str
    size: int  # bytes
    version: str
    modified: float
    placed: float = field(compare=False)
    tag: str | None = None


@dataclass(frozen=True)
class Part:
    """Some bytes of a file, and the entry of the whole file that they are part of."""

    data: bytes
    entry: Entry


@dataclass(frozen=True)
class History:
    """What happened to the earlier holders of a claim on a file of the same name and the same content."""

    crashes: int = 0  # holders in a row that died while they worked on several pairs, or on none
    pair: str = ""  # the pair that a holder worked on last while it worked on nothing else
    alone: bool = False  # the holder works on this pair, and on nothing else, now
    deaths: int = 0  # holders in a row that died while they did
    failed: tuple[str, ...] = ()  # pairs that count as failed, because holders died with them

    def after_death(self) -> "History":
        """What the next holder finds if this one dies now."""
        if self.alone:
            return replace(self, alone=False, deaths=self.deaths + 1)
        return replace(self, crashes=self.crashes + 1)

    def after_stop(self) -> "History":
        """What the next holder finds if this one is stopped in order."""
        return replace(self, alone=False)


class Claim(Protocol):
    """The exclusive right to work on one file.

    It ends with `move_to`, with `release`, with `drop`, or when this process dies. After that `move_to`,
    `release` and `drop` do nothing, because another runner may hold the file.
    """

    @property
    def history(self) -> History:
        """What became of the holders before, or what was noted since."""

    def note(self, history: History) -> None:
        """Replace the history, durably. Should this process die, the next holder counts a death in it.

        Raises `ClaimLostError` where the claim is lost.
        """

    def stopping(self) -> None:
        """Write down that this process is being stopped: its end does not count as a death from now on."""

    def read(self, limit: int) -> bytes:
        """The file's content, as `Store.read`."""

    def confirm(self) -> None:
        """Check that this claim still holds. Raises `ClaimLostError`.

        In a folder this includes that the file is still there. In a bucket, where that takes a request,
        `present` checks it.
        """

    def present(self) -> bool:
        """Whether the claimed file is still where the claim put it. False once the claim has ended."""

    def move_to(self, key: str, clearing: Sequence[str] = ()) -> None:
        """Move the file to `key`, replacing any file there, delete the keys in `clearing`, and end the claim.

        Raises `ClaimLostError` where the claim is lost or the file has been moved or deleted.
        """

    def release(self) -> None:
        """Move the file back and end the claim.

        If a newer file has taken its place, it stays where it is, and the next scan finds it there. If
        somebody has moved or deleted it, this is the same as `drop`. The next claim on the same content
        finds the same history.
        """

    def drop(self) -> None:
        """End the claim and leave the file alone, for a file that somebody has moved or deleted."""


class Reservation(Protocol):
    """The exclusive right to write to one folder, or to a part of it.

    It ends with `close`, or when this process dies.
    """

    def confirm(self) -> None:
        """Check that the reservation still holds. Raises `ClaimLostError`."""

    def close(self) -> None:
        """End it."""


class Store(Protocol):
    """Files under keys such as `done/a.json`. Every method may raise `StoreError` with a sentence."""

    url: str  # `Stores.open` opens the store again by this
    atomic: bool  # a new file is complete as soon as it is listed, no matter which program writes it
    event_folder: Path | None  # the folder whose file events announce changes; none where there are no events
    idle_interval: float  # seconds, at most, between two scans while nothing happens
    lists_tags: bool  # every `Entry` has a `tag`, without a request for each file
    surroundings: str | None  # URL of the larger store that absolute references may lead into: a whole bucket

    def exists(self) -> bool:
        """Whether the store is there. Raises `StoreError` if that can't be found out."""

    def make(self) -> None:
        """Create the store if it is missing, and check that files can be written to it."""

    def claim_fault(self) -> str:
        """Why a claim does not exclude other runners, and a remedy; empty if it excludes them.

        Some S3 servers ignore conditional writes, and the locks of some folders do not reach other machines.
        """

    def entries(self, folder: str) -> Iterable[Entry]:
        """The files directly in a folder (`""` is the top) whose names do not begin with a dot, by name."""

    def entry(self, key: str) -> Entry | None:
        """What `entries` has for one file, without a listing of its folder; none if there is no such file."""

    def left_out(self) -> list[str]:
        """The names at the top that `entries` leaves out because they are links or special files."""

    def names(self, folder: str, most: int) -> list[str]:
        """The names of what is in a folder, at most so many; those of folders end with a slash."""

    def tag(self, key: str) -> str | None:
        """What `write` returned for this file, while its content is the same; none if there is no file."""

    def read(self, key: str, limit: int) -> bytes:
        """The whole content. Raises `NotFoundError`, and `StoreError` if it exceeds `limit` bytes."""

    def fetch(self, key: str, limit: int) -> tuple[bytes, str | None]:
        """The whole content, as `read`, and the tag of exactly this content; none unless `lists_tags`."""

    def part(self, key: str, begin: int, size: int, version: str | None = None) -> Part:
        """At most `size` bytes from byte `begin` on, fewer at the end of the file. `size` is above 0.

        Raises `NotFoundError`, and `ConflictError` if the file has another version than `version`: parts of
        the same version belong together. In a bucket, a part is one request.
        """

    def write(self, key: str, data: bytes) -> str:
        """Write a file, completely or not at all. It is durable when this returns. Returns its tag."""

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        """Write a file, as `write` does, in place of the one with the tag `seen`; with none, of no file.

        Raises `ConflictError` if there is another file now. In a bucket that is part of the request, so that
        a request that arrives late replaces nothing.
        """

    def move(self, source: str, target: str) -> None:
        """Rename a file. Raises `NotFoundError`, and `ConflictError` if `target` exists."""

    def remove(self, key: str, seen: str | None = None) -> None:
        """Delete a file if it exists; with `seen`, only if it has this tag."""

    def tidy(self, folder: str) -> None:
        """Delete temporary files of writers that died. Nobody may be writing to the folder."""

    def claim(self, source: str, target: str) -> Claim | None:
        """Claim the file at `target` that a dead holder left, or else move `source` there and claim it.

        None if another runner holds it, or if there is neither file. The history belongs to the content of
        the file: another content under the same name begins with an empty one.
        """

    def reserve(self, folder: str, part: str = "") -> Reservation | None:
        """Keep other processes from reserving the same folder; none if one of them has reserved it.

        With `part`, which is a file name, keep them from reserving this part or the whole folder. They may
        reserve other parts. The whole folder cannot be reserved while a part of it is.

        In a bucket, the whole folder can always be reserved, and reserving it excludes nobody. A part is
        reserved by a lease there. Raises `UsageError` for a part if the server ignores conditional writes.
        """

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        """Keys of the files that match a pattern with `*`, `?`, `[...]` and `**`, sorted.

        Patterns that share a `search` share its limits, and what it has listed. Raises `StoreError` at a
        limit.
        """

    def reference(self, key: str) -> str:
        """A reference that leads to a key that `glob` has found: the key itself, or else absolute.

        In a bucket, a relative reference cannot contain `//`, for example, and a key can.
        """

    def absolute(self, reference: str) -> str:
        """A reference made absolute, as a path or URL: relative ones are relative to this store."""

    def key(self, absolute: str) -> str | None:
        """The key of an absolute reference; none if it leads outside of this store."""
