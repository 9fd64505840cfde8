"""A manifest that this process has claimed, and the ways in which the claim ends."""

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.errors import ClaimLostError, Problem, StoreError, TakenAwayError, UnavailableError
from pipeline.inbox.error_file import error_file
from pipeline.inbox.layout import done_key, error_key, failed_key, processing_key
from pipeline.inbox.unfinished import Unfinished
from pipeline.manifest.document import MAX_BYTES
from pipeline.stores.base import Claim, Entry, History, Store


@dataclass(frozen=True)
class ClaimedManifest:
    """A manifest that this process alone works on, until `complete`, `fail`, `release` or `drop`."""

    name: str
    _store: Store
    _claim: Claim
    _unfinished: Unfinished
    _seen: Entry | None  # its file when it was scanned, if it was
    _earlier: Entry | None  # the file that lay at `failed/NAME.json` when it was claimed; none in a bucket

    def read(self) -> bytes:
        """The document. Raises `StoreError`."""
        return self._claim.read(MAX_BYTES)

    def confirm(self) -> None:
        """Check that the claim still holds. Call it before anything is published. Raises `ClaimLostError`."""
        self._claim.confirm()

    def lost(self) -> ClaimLostError | None:
        """Why work on it must stop, or none. A person who takes it out of `processing/` means 'stop this'."""
        if self._claim.present():
            return None
        try:
            self._claim.confirm()
        except ClaimLostError as error:
            return error
        return TakenAwayError(f"{self._store.url}/{processing_key(self.name)}")

    @property
    def history(self) -> History:
        """What became of the runners that had it before."""
        return self._claim.history

    def note(self, history: History) -> None:
        """Replace the history, durably. Raises `StoreError`."""
        self._claim.note(history)

    def stopping(self) -> None:
        """Write down that this process is being stopped, which is no crash. Raises `StoreError`."""
        self._claim.stopping()

    def complete(self) -> None:
        """Move it to `done/`: every pair is done. Raises `StoreError`.

        An earlier failure under this name is deleted, because it has been corrected by now. What a person
        has written to `failed/NAME.json` is not deleted.
        """
        self._unfinished.take_back(self.name)
        # In this order: a manifest without an error file would count as written by a person.
        earlier = [] if self._written_by_person() else [failed_key(self.name), error_key(self.name)]
        self._claim.move_to(done_key(self.name), clearing=earlier)

    def fail(self, problems: Sequence[Problem]) -> None:
        """Write an error file and move it to `failed/`.

        Raises `StoreError` if that is impossible. The manifest is then released, unless the store is only
        unavailable.
        """
        text = error_file(self._store, self.name, problems)
        try:
            self._claim.confirm()
            # What a person has written there would be replaced by the move below.
            self._unfinished.take_back(self.name)
            if self._written_by_person():
                self._unfinished.set_aside(self.name)
            self._store.write(error_key(self.name), text)
            self._claim.move_to(failed_key(self.name))
            self._unfinished.note(self.name, self._seen, problems)
        except UnavailableError:
            raise
        except StoreError:
            self.release()
            raise

    def release(self) -> None:
        """Put the manifest back into the inbox for any runner."""
        self._claim.release()

    def drop(self) -> None:
        """End the claim without moving the manifest, because a person has taken it away."""
        self._claim.drop()

    def _written_by_person(self) -> bool:
        """Whether `failed/NAME.json` is something else than an earlier failure under this name."""
        file = None if self._store.atomic else self._store.entry(failed_key(self.name))
        if file is None:
            return False
        # The program never leaves a manifest there without an error file.
        unchanged = self._earlier is not None and file.version == self._earlier.version
        return not unchanged or self._store.entry(error_key(self.name)) is None
