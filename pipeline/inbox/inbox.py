"""The inbox: which manifests are ready, and how they are claimed, cancelled and retried."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from pipeline.errors import ConflictError, ManifestError, NotFoundError, Problem, StoreError, UsageError
from pipeline.inbox.claimed import ClaimedManifest, error_file
from pipeline.inbox.layout import (
    DONE,
    FAILED,
    PROCESSING,
    SUFFIX,
    cancelled_key,
    cancelled_name,
    error_key,
    failed_key,
    manifest_name,
    processing_key,
    waiting_key,
)
from pipeline.inbox.unfinished import State, Unfinished, states
from pipeline.manifest.reading import MAX_BYTES, load_object, priority_of
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing

_CANCELLED = Problem("", "cancelled by hand")


@dataclass(frozen=True)
class Ready:
    """A manifest that a runner may try to claim."""

    name: str
    in_processing: bool  # left there by a runner that died, or held by one that lives
    priority: int
    modified: float  # seconds since the epoch
    unread: bool = False  # the priority was not read yet, and counts as 0

    @property
    def rank(self) -> tuple[int, bool, float, str]:
        """The lowest rank goes first: of equal priority those in processing/, then by age, then by name."""
        return -self.priority, not self.in_processing, self.modified, self.name


@dataclass(frozen=True)
class Status:
    """Names by state; `failed` maps a name to its first error."""

    waiting: list[str]
    processing: list[str]
    done: list[str]
    failed: dict[str, str]


class Inbox:
    """Finds manifests that are ready and claims them.

    Only a scan decides which are ready. An event starts it earlier.

    After a scan, `settling` says whether a file was skipped because it is still being written, and `unended`
    names the manifests that are neither done nor failed.
    """

    def __init__(
        self,
        store: Store,
        timing: Timing = Timing(),
        clock: Callable[[], float] = time.monotonic,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        """`warn` gets a sentence about each failed manifest that a scan puts back into the inbox."""
        self.store, self._timing, self._clock = store, timing, clock
        self._unfinished = Unfinished(store, timing, warn)
        self._states: dict[str, State] = {}  # of the manifests that the last scan found
        self._unchanged_since: dict[str, tuple[str, float]] = {}  # name -> version, first time seen
        self._priorities: dict[str, tuple[str, int]] = {}  # key -> version, priority
        self.settling = False
        self.unended: set[str] = set()

    def scan(self) -> list[Ready]:
        """The manifests to claim, best first. Raises `StoreError`."""
        self.settling = False
        self._unfinished.take_back()
        processing, waiting = self._manifests(PROCESSING), self._manifests("")
        self._states = states([*waiting, *processing])
        self.unended = {_name(entry) for entry in [*processing, *waiting]}
        self._note_changes(waiting)
        found = {processing_key(_name(entry)): entry for entry in processing}
        found |= {waiting_key(_name(entry)): entry for entry in waiting if self._written(entry)}
        priorities = self._read_priorities(found)
        ready = [
            Ready(
                _name(entry), key != entry.name, priorities.get(key, 0), entry.modified, key not in priorities
            )
            for key, entry in found.items()
        ]
        return sorted(ready, key=lambda manifest: manifest.rank)

    def with_priority(self, ready: Ready) -> Ready:
        """The same manifest, once its priority was read, or could not be read."""
        key = processing_key(ready.name) if ready.in_processing else waiting_key(ready.name)
        try:
            return replace(ready, priority=self._priority(key), unread=False)
        except StoreError:
            return replace(ready, unread=False)  # the claim will show what is wrong

    def claim(self, name: str) -> ClaimedManifest | None:
        """Claim a manifest, waiting or abandoned; none if another runner holds it. Raises `StoreError`."""
        claim = self.store.claim(waiting_key(name), processing_key(name))
        if claim is None:
            return None
        return ClaimedManifest(
            name, self.store, claim, partial(self._unfinished.note, name, self._states.get(name))
        )

    def retry(self, name: str) -> None:
        """Put a failed manifest back; pairs that are done are not done again. Raises `UsageError`."""
        name = name.removesuffix(SUFFIX)
        try:
            self.store.move(failed_key(self._failed_name(name)), waiting_key(name))
        except ConflictError:
            raise UsageError(f"{name}: a manifest of this name is waiting already") from None
        except NotFoundError:
            raise UsageError(f"{name}: no failed manifest of this name in {self.store.url}") from None
        self.store.remove(error_key(name))

    def cancel(self, name: str) -> None:
        """Move a manifest that waits or is worked on to `failed/`. Whoever works on it notices and stops.

        Raises `UsageError` if it neither waits nor is worked on.
        """
        name = name.removesuffix(SUFFIX)
        unknown = UsageError(f"{name}: no manifest of this name waits or is worked on in {self.store.url}")
        if not any(self.store.tag(key(name)) for key in (waiting_key, processing_key)):
            raise unknown
        if claimed := self.claim(name):
            claimed.fail([_CANCELLED])
            return
        # A runner holds it, and stops when the file is gone. The file gets a name of its own first: the
        # runner may be writing to `failed/` at this moment, too.
        taken = cancelled_key(name, uuid4().hex[:8])
        try:
            self.store.move(processing_key(name), taken)
        except NotFoundError:
            self.store.remove(taken)  # the runner moved the original while it was being renamed
            raise unknown from None
        self.store.write(error_key(name), error_file(self.store, name, [_CANCELLED]))
        self.store.write(failed_key(name), self.store.read(taken, MAX_BYTES))
        self.store.remove(taken)

    def status(self) -> Status:
        """What waits, is worked on, is done and has failed. Raises `StoreError`."""
        names = {
            folder: [_name(entry) for entry in self._manifests(folder)]
            for folder in ("", PROCESSING, DONE, FAILED)
        }
        half = {name: cancelled for name in names[FAILED] if (cancelled := cancelled_name(name))}
        failed = {name: str(_CANCELLED) for name in half.values()}
        failed |= {name: self._first_error(name) for name in names[FAILED] if name not in half}
        return Status(names[""], names[PROCESSING], names[DONE], failed)

    def _failed_name(self, name: str) -> str:
        """The name that a failed manifest has in `failed/`: another one if cancelling it did not end."""
        if self.store.tag(failed_key(name)) is None:
            half = (_name(entry) for entry in self._manifests(FAILED))
            return next((other for other in half if cancelled_name(other) == name), name)
        return name

    def _manifests(self, folder: str) -> list[Entry]:
        return [entry for entry in self.store.entries(folder) if manifest_name(entry.name)]

    def _note_changes(self, waiting: list[Entry]) -> None:
        """Remember since when each file has not changed."""
        now, known = self._clock(), self._unchanged_since
        self._unchanged_since = {}
        for entry in waiting:
            version, since = known.get(entry.name, ("", now))
            self._unchanged_since[entry.name] = entry.version, since if version == entry.version else now

    def _written(self, entry: Entry) -> bool:
        """Whether a file is complete, as far as one can see; sets `settling` if not."""
        if self.store.atomic:
            return True
        if entry.size == 0:
            return False
        unchanged = self._clock() - self._unchanged_since[entry.name][1]
        written = unchanged >= self._timing.settled and (
            unchanged >= self._timing.unfinished or self._looks_whole(entry)
        )
        self.settling |= not written
        return written

    def _looks_whole(self, entry: Entry) -> bool:
        if entry.size > MAX_BYTES:
            return True
        try:
            load_object(self.store.read(entry.name, MAX_BYTES))
        except ManifestError:
            return False
        except StoreError:
            return True  # the claim will show what is wrong
        return True

    def _read_priorities(self, found: dict[str, Entry]) -> dict[str, int]:
        """Read the priorities of manifests that are new or changed, the newest first, for a limited time.

        Those that are left for the next scan count as 0 until then.
        """
        known = {key: self._priorities[key] for key in found if key in self._priorities}
        known = {key: at for key, at in known.items() if at[0] == found[key].version}
        until = time.monotonic() + self._timing.priorities
        for key, entry in sorted(found.items(), key=lambda item: -item[1].modified):
            if time.monotonic() > until:
                break
            if key not in known:
                with suppress(StoreError):  # read again by the next scan
                    known[key] = entry.version, self._priority(key)
        self._priorities = known
        return {key: priority for key, (_, priority) in known.items()}

    def _priority(self, key: str) -> int:
        return priority_of(self.store.read(key, MAX_BYTES))

    def _first_error(self, name: str) -> str:
        try:
            errors = json.loads(self.store.read(error_key(name), MAX_BYTES))
            first, *others = errors["errors"]
            more = f" (and {len(others)} more)" if others else ""
            return str(Problem(first.get("place", ""), first["message"])) + more
        except (StoreError, ValueError, LookupError, TypeError):
            return "no error file beside it"


def _name(entry: Entry) -> str:
    return entry.name.removesuffix(SUFFIX)
