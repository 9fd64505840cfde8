"""The images of a manifest: they come from its inbox, and from where else the operator allows."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from pipeline.errors import StoreError
from pipeline.stores.base import Store
from pipeline.stores.search import Search

MAX_BYTES = 512 * 2**20  # of one image file

ResultsAmong = Callable[[Iterable[str]], set[str]]


def state(store: Store, key: str, tag: str) -> str:
    """A text that is different for another file, and for another content of this file."""
    return f"{store.absolute(key)} {tag}"


class Sources:
    """Reads the images that a manifest names. Its author is not trusted, so only allowed stores are read."""

    def __init__(
        self, base: Store, allowed: Sequence[Store] = (), results_among: ResultsAmong | None = None
    ) -> None:
        """Relative references are keys of `base`; absolute ones may lead into `base` or `allowed`.

        `results_among` gets absolute references and returns those that are results of this pipeline.
        Patterns skip these, because each run would otherwise stylize the pictures of the run before it.
        """
        self.base, self._allowed, self._results_among = base, allowed, results_among

    @property
    def base_url(self) -> str:
        """The absolute URL of `base`."""
        return self.base.absolute("")

    @property
    def allowed_urls(self) -> tuple[str, ...]:
        """The absolute URLs of the other stores."""
        return tuple(store.absolute("") for store in self._allowed)

    def read(self, reference: str) -> bytes:
        """The bytes of an image file. Raises `StoreError` with the reference and the reason."""
        return self.fetch(reference)[0]

    def fetch(self, reference: str) -> tuple[bytes, str | None]:
        """The bytes of an image file, and its state; none where the store does not list tags.

        The state is a text that is different for another file, and for another content of this file.
        Raises `StoreError` with the reference and the reason.
        """
        store, key = self.locate(reference)
        try:
            data, tag = store.fetch(key, MAX_BYTES)
            return data, state(store, key, tag) if tag else None
        except StoreError as error:
            reason = str(error).removeprefix(f"{store.absolute(key)}: ")
            raise type(error)(f"{reference}: {reason}") from None

    def search(self, search: Search | None = None) -> Callable[[str], list[str]]:
        """`glob` for the patterns of one manifest, which share the limits of a search."""
        return partial(self.glob, search=search or Search())

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        """The references of the images that match a pattern, sorted.

        Raises `StoreError`, also at a limit of the search.
        """
        store, key = self.locate(pattern)
        search = search or Search()
        keys = store.glob(key, search)
        search.match(len(keys), pattern)
        references = map(store.reference, search.stepping(keys))
        matches = [(reference, store.absolute(reference)) for reference in references]
        results = self._results_among([absolute for _, absolute in matches]) if self._results_among else set()
        found = [
            reference if store is self.base else absolute
            for reference, absolute in matches
            if absolute not in results
        ]
        if matches and not found:
            raise StoreError(f"'{pattern}' matches only results; to go on from them, name them one by one")
        return found

    def locate(self, reference: str) -> tuple[Store, str]:
        """The store of an image, and its key there. Raises `StoreError` if it may not be read."""
        absolute = self.base.absolute(reference)
        for store in (self.base, *self._allowed):
            if (key := store.key(absolute)) is not None:
                return store, key
        if reference.startswith(("http://", "https://")):
            raise StoreError(f"{reference}: nothing is fetched from the web; put it into {self.base.url}")
        raise StoreError(
            f"{reference}: lies outside {self.base.url}; move it there, or allow its place with --allow"
        )
