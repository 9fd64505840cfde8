"""The inbox: which manifests are ready, and how they are claimed, cancelled and retried."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from pipeline.errors import ConflictError, NotFoundError, StoreError, UnavailableError, UsageError
from pipeline.inbox.claimed import ClaimedManifest
from pipeline.inbox.error_file import CANCELLED, error_file, read_errors, remove_error_file
from pipeline.inbox.layout import (
    DONE,
    FAILED,
    PROCESSING,
    as_argument,
    cancelled_key,
    cancelled_name,
    error_key,
    failed_key,
    is_manifest,
    manifest_name,
    processing_key,
    waiting_key,
    without_suffix,
)
from pipeline.inbox.unfinished import Unfinished
from pipeline.inbox.writing import Writing
from pipeline.manifest.document import MAX_BYTES
from pipeline.manifest.reading import priority_of
from pipeline.stores.base import Entry, Store
from pipeline.stores.near import alike, suggested
from pipeline.timing import Timing

FileNames = dict[str, dict[str, str]]  # of manifests, by folder and name


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

    After a scan, `waiting` and `processing` have the names of the manifests that are neither done nor failed,
    and `settling` says whether a file was skipped because it is still being written.
    """

    def __init__(
        self,
        store: Store,
        timing: Timing = Timing(),
        clock: Callable[[], float] = time.monotonic,
        warn: Callable[[str], None] = lambda message: None,
    ) -> None:
        """`warn` gets a sentence about each file that is left out, or that goes back into the inbox.

        Links and special files with the name of a manifest are left out. `pipeline.inbox.unfinished` says
        what goes back.
        """
        self.store, self._timing, self._clock, self._warn = store, timing, clock, warn
        self._unfinished = Unfinished(store, timing, clock, warn)
        self._entries: dict[str, Entry] = {}  # of the manifests that the last scan found, by name
        self._keys: dict[tuple[str, str], str] = {}  # (folder, name) -> key, as the last scan has found it
        self._left_out: set[str] = set()  # file names
        self._writing = Writing(store, timing, clock)
        self._priorities: dict[str, tuple[str, int]] = {}  # key -> version, priority
        self.waiting: set[str] = set()
        self.processing: set[str] = set()
        self.settling = False

    def scan(self) -> list[Ready]:
        """The manifests to claim, best first. Raises `StoreError`."""
        self.settling = False
        self._unfinished.take_back_all()
        processing, waiting = self._manifests(PROCESSING), self._manifests("")
        self._report_left_out()
        self._entries = waiting | processing
        self.waiting, self.processing = set(waiting), set(processing)
        self._note_keys({PROCESSING: _file_names(processing), "": _file_names(waiting)})
        complete = self._writing.complete(waiting)
        self.settling = any(entry.size for name, entry in waiting.items() if name not in complete)
        found = {(PROCESSING, name): entry for name, entry in processing.items()}
        found |= {("", name): entry for name, entry in complete.items()}
        priorities = self._read_priorities({self._keys[place]: entry for place, entry in found.items()})
        ready = []
        for (folder, name), entry in found.items():
            priority = priorities.get(self._keys[folder, name])
            ready.append(Ready(name, bool(folder), priority or 0, entry.modified, priority is None))
        return sorted(ready, key=lambda manifest: manifest.rank)

    def with_priority(self, ready: Ready) -> Ready:
        """The same manifest, once its priority was read, or could not be read."""
        folder = PROCESSING if ready.in_processing else ""
        try:
            return replace(ready, priority=self._priority(self._key(folder, ready.name)), unread=False)
        except StoreError:
            return replace(ready, unread=False)  # the claim will show what is wrong

    def claim(self, name: str) -> ClaimedManifest | None:
        """Claim a manifest, waiting or abandoned; none if another runner holds it. Raises `StoreError`."""
        target, left = processing_key(name), self._key(PROCESSING, name)
        # A file that somebody has put into `processing/` with another suffix gets the usual one.
        source = self._key("", name) if left == target else left
        # Nobody can continue a file in a bucket, where this would cost a request.
        earlier = None if self.store.atomic else self.store.entry(failed_key(name))
        claim = self.store.claim(source, target)
        if claim is None:
            return None
        return ClaimedManifest(name, self.store, claim, self._unfinished, self._entries.get(name), earlier)

    def retry(self, name: str, listed: FileNames | None = None) -> None:
        """Put a failed manifest back; pairs that are done are not done again. Raises `UsageError`.

        The calls of one command share `listed`, so that it lists each folder once, not for every name.
        """
        name, listed = without_suffix(name), {} if listed is None else listed
        waits = UsageError(f"{name}: a manifest of this name is waiting already")
        waiting = self._listed("", listed)
        if name in waiting:
            raise waits
        error = self.store.entry(error_key(name))
        try:
            self.store.move(self._failed_key(name, listed), waiting_key(name))
        except ConflictError:
            raise waits from None
        except NotFoundError:
            hint = _hint(name, self._listed(FAILED, listed))
            raise UsageError(f"{name}: no failed manifest of this name in {self.store.url}{hint}") from None
        waiting[name] = waiting_key(name)
        remove_error_file(self.store, name, error)

    def cancel(self, name: str, listed: FileNames | None = None) -> None:
        """Move a manifest that waits or is worked on to `failed/`. The runner that has it notices and stops.

        `listed` is the same as for `retry`. Raises `UsageError` if it neither waits nor is worked on.
        """
        name, listed = without_suffix(name), {} if listed is None else listed
        unknown = UsageError(f"{name}: no manifest of this name waits or is worked on in {self.store.url}")
        if not any(self.store.entry(key(name)) for key in (waiting_key, processing_key)):
            # The suffix may have another letter case.
            folders = {folder: self._listed(folder, listed) for folder in ("", PROCESSING)}
            if not any(name in found for found in folders.values()):
                raise UsageError(f"{unknown}{_hint(name, [n for found in folders.values() for n in found])}")
            self._note_keys(folders)
        if claimed := self.claim(name):
            try:
                claimed.fail([CANCELLED])
            except UnavailableError:
                claimed.release()
                raise
            return
        if not _cancel_held(self.store, self._unfinished, name):
            raise unknown

    def status(self) -> Status:
        """What waits, is worked on, is done and has failed. Raises `StoreError`."""
        names = {folder: list(self._manifests(folder)) for folder in ("", PROCESSING, DONE, FAILED)}
        half = {name: cancelled for name in names[FAILED] if (cancelled := cancelled_name(name))}
        failed = {name: str(CANCELLED) for name in half.values()}
        failed |= {name: _first_error(self.store, name) for name in names[FAILED] if name not in half}
        return Status(names[""], names[PROCESSING], names[DONE], failed)

    def _failed_key(self, name: str, listed: FileNames) -> str:
        """Where a failed manifest is: under another name if cancelling it did not end."""
        if self.store.entry(failed_key(name)) is None:
            for other, file in self._listed(FAILED, listed).items():
                if name in (other, cancelled_name(other)):
                    return f"{FAILED}/{file}"
        return failed_key(name)

    def _listed(self, folder: str, listed: FileNames) -> dict[str, str]:
        """The file names of the manifests in a folder, by name, as `listed` has them or will have them."""
        if folder not in listed:
            listed[folder] = _file_names(self._manifests(folder))
        return listed[folder]

    def _manifests(self, folder: str) -> dict[str, Entry]:
        """The manifests directly in a folder, by name; of two with one name, that with the usual suffix."""
        found: dict[str, Entry] = {}
        for entry in self.store.entries(folder):
            name = manifest_name(entry.name)
            if name and (name not in found or entry.name == waiting_key(name)):
                found[name] = entry
        return found

    def _note_keys(self, folders: FileNames) -> None:
        """Remember the keys of the manifests in these folders."""
        self._keys = {
            (folder, name): f"{folder}/{file}".lstrip("/")
            for folder, files in folders.items()
            for name, file in files.items()
        }

    def _key(self, folder: str, name: str) -> str:
        """The key of a manifest in `processing/` or, for an empty folder, of one that waits."""
        usual = processing_key(name) if folder else waiting_key(name)
        return self._keys.get((folder, name), usual)

    def _report_left_out(self) -> None:
        """Report, once, what is no ordinary file and has the name of a manifest."""
        left_out = set(filter(is_manifest, self.store.left_out()))
        for name in sorted(left_out - self._left_out):
            self._warn(f"{self.store.url}/{name}: is a link or no ordinary file; put the file itself there")
        self._left_out = left_out

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


def _first_error(store: Store, name: str) -> str:
    try:
        first, *others = read_errors(store, name)
    except NotFoundError:
        return "no error file beside it"
    except StoreError as error:
        return str(error)
    return f"{first} (and {len(others)} more)" if others else str(first)


def _file_names(manifests: Mapping[str, Entry]) -> dict[str, str]:
    return {name: entry.name for name, entry in manifests.items()}


def _cancel_held(store: Store, unfinished: Unfinished, name: str) -> bool:
    """Move a manifest that a runner holds to `failed/`; false if it has just ended. Raises `StoreError`.

    The runner stops when the file is gone.
    """
    # The file gets another name first: the runner may be writing to `failed/` at this moment, too.
    taken = cancelled_key(name)
    try:
        store.move(processing_key(name), taken)
    except NotFoundError:
        store.remove(taken)  # the runner moved the original while it was being renamed
        return False
    if not store.atomic and _is_of_person(store, name):
        unfinished.set_aside(name)
    store.remove(failed_key(name))
    store.write(error_key(name), error_file(store, name, [CANCELLED]))
    store.move(taken, failed_key(name))
    return True


def _is_of_person(store: Store, name: str) -> bool:
    """Whether somebody has written or changed `failed/NAME.json`, as far as its time shows it.

    The program moves a manifest there, with the time of its upload, after it has written the error file.
    """
    file, error = store.entry(failed_key(name)), store.entry(error_key(name))
    return file is not None and (error is None or file.modified >= error.modified)


def _hint(name: str, known: Iterable[str]) -> str:
    """Which manifest may be meant by a name, as the end of a sentence; empty if none."""
    near = next((other for other in known if alike(other) == alike(name)), None)
    return suggested(as_argument(near), name) if near else ""
