"""Where a manifest may take its images from: the inbox, and what the operator adds."""

import os
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.stores.folder import FolderStore

MAX_BYTES = 512 * 2**20


class Sources:
    """Reads images for a manifest, which is a stranger's document, from allowed folders only."""

    def __init__(self, base: FolderStore, allowed: Sequence[FolderStore] = ()) -> None:
        """References are relative to `base`; absolute ones may also lead into `allowed`."""
        self._base, self._stores = base, (base, *allowed)

    def read(self, reference: str) -> bytes:
        """The bytes of an image. Raises `StoreError` with the reference and the reason."""
        store, key = self._locate(reference)
        try:
            return store.read(key, MAX_BYTES)
        except StoreError as error:
            reason = str(error).removeprefix(f"{store.root / key}: ")
            raise StoreError(f"{reference}: {reason}") from None

    def glob(self, pattern: str) -> list[str]:
        """The references that a pattern stands for, sorted."""
        store, key = self._locate(pattern)
        matches = store.glob(key)
        return matches if store is self._base else [str(store.root / match) for match in matches]

    def _locate(self, reference: str) -> tuple[FolderStore, str]:
        if "://" in reference:
            raise StoreError(f"{reference}: only paths can be read from a folder inbox")
        try:
            path = Path(os.path.realpath(self._base.root / reference))
        except (OSError, ValueError) as error:
            raise StoreError(f"{reference!r}: not a usable path ({error})") from None
        for store in self._stores:
            if path.is_relative_to(store.root):
                return store, str(path.relative_to(store.root))
        raise StoreError(
            f"{reference}: lies outside {self._base.root}; move it there, or allow its folder with --allow"
        )
