"""The life of a manifest: waiting, claimed, and then done or failed - or handed back."""

import json
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import (
    ConflictError,
    ManifestError,
    NotFoundError,
    Problem,
    StoreError,
    UnavailableError,
    UsageError,
    printable,
)
from pipeline.manifest.names import shortened
from pipeline.manifest.reading import MAX_BYTES, load_object
from pipeline.stores.base import Claim, Entry, Store

PROCESSING, DONE, FAILED = "processing", "done", "failed"

_SETTLED = 1.0  # seconds that size and time must rest before a file counts as written
_UNFINISHED = 5.0  # the same for a file that is not JSON: its writer may be slow
_SUFFIX, _ERROR_SUFFIX = ".json", ".error.json"
_LONGEST_FILE = 255  # bytes


@dataclass(frozen=True)
class ClaimedManifest:
    """A manifest that this process alone works on, until one of the three endings."""

    name: str
    _store: Store
    _claim: Claim

    def read(self) -> bytes:
        """The document. Raises `StoreError`."""
        return self._claim.read(MAX_BYTES)

    def confirm(self) -> None:
        """Make sure that it is still ours before anything is published. Raises `ClaimLostError`."""
        self._claim.confirm()

    @property
    def crashes(self) -> int:
        """How many runners in a row have died with it and left nothing done."""
        return self._claim.crashes

    def progressed(self) -> None:
        """Something of it is done, so that whoever died with it is forgotten."""
        self._claim.progressed()

    def complete(self) -> None:
        """Every pair is done."""
        # What failed under this name before has been corrected by now.
        failed = [_error_key(self.name), f"{FAILED}/{self.name}{_SUFFIX}"]
        self._claim.move_to(f"{DONE}/{self.name}{_SUFFIX}", clearing=failed)

    def fail(self, problems: Sequence[Problem]) -> None:
        """Something is wrong with the manifest or with some of its pairs.

        Raises `StoreError` if that can't be written down; the manifest is then handed back, unless
        waiting may help.
        """
        name, url = (printable(shlex.quote(text)) for text in (self.name, self._store.absolute("")))
        errors = {
            "manifest": f"{printable(self.name)}{_SUFFIX}",
            "errors": [problem.to_json() for problem in problems],
            "remedy": f"correct the images, or {printable(self.name)}{_SUFFIX} beside this file; "
            f"then: nst-pipeline retry --inbox {url} {name}",
        }
        text = json.dumps(errors, indent=1, ensure_ascii=False)
        try:
            self._store.write(_error_key(self.name), text.encode())
            self._claim.move_to(f"{FAILED}/{self.name}{_SUFFIX}")
        except UnavailableError:
            raise
        except StoreError:
            self.release()
            raise

    def release(self) -> None:
        """Hand the manifest back for anyone to take up."""
        self._claim.release()


@dataclass(frozen=True)
class Status:
    """Names by state; `failed` maps a name to its first error."""

    waiting: list[str]
    processing: list[str]
    done: list[str]
    failed: dict[str, str]


class Inbox:
    """Finds manifests that are ready and claims them. The scan is the only truth; events merely hasten it.

    `settling` tells whether the last scan passed over a file that is still being written, and `unended`
    which manifests it saw that are neither done nor failed.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._clock = clock
        self._resting: dict[str, tuple[str, float]] = {}
        self.settling = False
        self.unended: set[str] = set()

    def scan(self) -> list[str]:
        """Names to claim now, first those that a dead runner left. Raises `StoreError`."""
        self.settling = False
        abandoned = [_stem(entry) for entry in self._manifests(PROCESSING)]
        waiting = self._manifests("")
        self.unended = {*abandoned, *map(_stem, waiting)}
        now, resting = self._clock(), self._resting
        self._resting = {
            entry.name: known
            if (known := resting.get(entry.name)) and known[0] == entry.version
            else (entry.version, now)
            for entry in waiting
        }
        ready = []
        for entry in waiting:
            rested = now - self._resting[entry.name][1]
            if self.store.atomic:
                ready.append(_stem(entry))
            elif entry.size == 0 or rested < _SETTLED:
                self.settling |= entry.size > 0
            elif rested < _UNFINISHED and not self._looks_whole(entry):
                self.settling = True
            else:
                ready.append(_stem(entry))
        return abandoned + ready

    def claim(self, name: str) -> ClaimedManifest | None:
        """Take a manifest, waiting or abandoned; none if another runner has it."""
        claim = self.store.claim(f"{name}{_SUFFIX}", f"{PROCESSING}/{name}{_SUFFIX}")
        return ClaimedManifest(name, self.store, claim) if claim else None

    def retry(self, name: str) -> None:
        """Put a failed manifest back; pairs that are done are not done again. Raises `UsageError`."""
        name = name.removesuffix(_SUFFIX)
        try:
            self.store.move(f"{FAILED}/{name}{_SUFFIX}", f"{name}{_SUFFIX}")
        except ConflictError:
            raise UsageError(f"{name}: a manifest of this name is waiting already") from None
        except NotFoundError:
            raise UsageError(f"{name}: no failed manifest of this name in {self.store.url}") from None
        self.store.remove(_error_key(name))

    def status(self) -> Status:
        """What waits, what is being worked on, what is done and what failed."""
        names = {
            folder: [_stem(entry) for entry in self._manifests(folder)]
            for folder in ("", PROCESSING, DONE, FAILED)
        }
        failed = {name: self._first_error(name) for name in names[FAILED]}
        return Status(names[""], names[PROCESSING], names[DONE], failed)

    def _manifests(self, folder: str) -> list[Entry]:
        return [entry for entry in self.store.entries(folder) if manifest_name(entry.name)]

    def _looks_whole(self, entry: Entry) -> bool:
        if entry.size > MAX_BYTES:
            return True
        try:
            load_object(self.store.read(entry.name, MAX_BYTES))
        except ManifestError:
            return False
        except StoreError:
            return True  # claiming it will tell what is wrong
        return True

    def _first_error(self, name: str) -> str:
        try:
            errors = json.loads(self.store.read(_error_key(name), MAX_BYTES))
            first, *others = errors["errors"]
            more = f" (and {len(others)} more)" if others else ""
            return str(Problem(first.get("place", ""), first["message"])) + more
        except (StoreError, ValueError, LookupError, TypeError):
            return "no error file beside it"


def manifest_name(key: str) -> str | None:
    """The name of the manifest that lies under a key of the inbox; none if it is something else."""
    if "/" in key or not key.endswith(_SUFFIX) or key.endswith(_ERROR_SUFFIX):
        return None
    return key.removesuffix(_SUFFIX) or None


def _error_key(name: str) -> str:
    # Where the manifest's own name just fits, that of its error file would not.
    return f"{FAILED}/{shortened(name, _LONGEST_FILE - len(_ERROR_SUFFIX))}{_ERROR_SUFFIX}"


def _stem(entry: Entry) -> str:
    return entry.name.removesuffix(_SUFFIX)
