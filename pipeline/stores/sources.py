"""Where a manifest may take its images from: the inbox, and what the operator adds."""

from collections.abc import Sequence

from pipeline.errors import StoreError
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import Store

MAX_BYTES = 512 * 2**20


class Sources:
    """Reads images for a manifest, which is a stranger's document, from allowed stores only."""

    def __init__(self, base: Store, allowed: Sequence[Store] = (), outbox: Outbox | None = None) -> None:
        """References are relative to `base`; absolute ones may also lead into `allowed`.

        Patterns pass by what is a result in `outbox`, or each run would stylise the last one's pictures.
        """
        self._base, self._stores, self._outbox = base, (base, *allowed), outbox

    def read(self, reference: str) -> bytes:
        """The bytes of an image. Raises `StoreError` with the reference and the reason."""
        store, key = self._locate(reference)
        try:
            return store.read(key, MAX_BYTES)
        except StoreError as error:
            reason = str(error).removeprefix(f"{store.absolute(key)}: ")
            raise type(error)(f"{reference}: {reason}") from None

    def glob(self, pattern: str) -> list[str]:
        """The references that a pattern stands for, sorted. Raises `StoreError`."""
        store, key = self._locate(pattern)
        matches = [(match, store.absolute(match)) for match in store.glob(key)]
        made = self._outbox.results_among([whole for _, whole in matches]) if self._outbox else set()
        found = [match if store is self._base else whole for match, whole in matches if whole not in made]
        if matches and not found:
            raise StoreError(f"'{pattern}' matches only results; to go on from them, name them one by one")
        return found

    def _locate(self, reference: str) -> tuple[Store, str]:
        absolute = self._base.absolute(reference)
        for store in self._stores:
            if (key := store.key(absolute)) is not None:
                return store, key
        if reference.startswith(("http://", "https://")):
            raise StoreError(f"{reference}: nothing is fetched from the web; put it into {self._base.url}")
        raise StoreError(
            f"{reference}: lies outside {self._base.url}; move it there, or allow its place with --allow"
        )
