"""A manifest that this process has claimed, and the ways in which the claim ends."""

import json
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.errors import ClaimLostError, Problem, StoreError, UnavailableError, printable
from pipeline.inbox.layout import SUFFIX, done_key, error_key, failed_key, processing_key
from pipeline.manifest.reading import MAX_BYTES
from pipeline.stores.base import Claim, History, Store

CANCELLED = Problem("", "cancelled by hand")


@dataclass(frozen=True)
class ClaimedManifest:
    """A manifest that this process alone works on, until `complete`, `fail`, `release` or `drop`."""

    name: str
    _store: Store
    _claim: Claim
    _on_fail: Callable[[Sequence[Problem]], None] = lambda problems: None

    def read(self) -> bytes:
        """The document. Raises `StoreError`."""
        return self._claim.read(MAX_BYTES)

    def confirm(self) -> None:
        """Check that the claim still holds. Call it before anything is published. Raises `ClaimLostError`."""
        self._claim.confirm()

    def lost(self) -> str | None:
        """Why work on it must stop, or none. A person who takes it out of `processing/` means 'stop this'."""
        if self._claim.present():
            return None
        try:
            self._claim.confirm()
        except ClaimLostError as error:
            return str(error)
        return f"{self._store.url}/{processing_key(self.name)} was moved or deleted; work on it stops"

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
        """Move it to `done/`: every pair is done. Raises `StoreError`."""
        # An earlier failure under this name has been corrected by now.
        self._claim.move_to(done_key(self.name), clearing=[error_key(self.name), failed_key(self.name)])

    def fail(self, problems: Sequence[Problem]) -> None:
        """Write an error file and move it to `failed/`.

        Raises `StoreError` if that is impossible. The manifest is then released, unless the store is only
        unavailable.
        """
        text = error_file(self._store, self.name, problems)
        try:
            self._claim.confirm()
            self._store.write(error_key(self.name), text)
            self._claim.move_to(failed_key(self.name))
            self._on_fail(problems)
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


def error_file(store: Store, name: str, problems: Sequence[Problem]) -> bytes:
    """The content of `failed/NAME.error.json`: what is wrong, where, and what to do about it."""
    shown, url = (_shell_word(text) for text in (name, store.absolute("")))
    dashes = "-- " if name.startswith("-") else ""  # otherwise the name would be taken for an option
    file = f"{printable(name)}{SUFFIX}"
    first = f"correct the images, or {file} beside this file, if they are wrong; then"
    if list(problems) == [CANCELLED]:
        first = "to work on it again"
    errors = {
        "manifest": file,
        "errors": [problem.to_json() for problem in problems],
        "remedy": f"{first}: nst-pipeline retry --inbox {url} {dashes}{shown}",
    }
    return json.dumps(errors, indent=1, ensure_ascii=False).encode()


def _shell_word(text: str) -> str:
    """A text as one printable word for a shell."""
    if text.isprintable():
        return shlex.quote(text)
    special = {"'", "\\"}
    parts = (
        c if c.isprintable() and c not in special else "".join(f"\\x{byte:02x}" for byte in os.fsencode(c))
        for c in text
    )
    return f"$'{''.join(parts)}'"
