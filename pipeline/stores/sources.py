"""The images of a manifest: they come from its inbox, and from where else the operator allows."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import takewhile

from pipeline.errors import NotFoundError, StoreError
from pipeline.stores import patterns
from pipeline.stores.base import Store
from pipeline.stores.near import NearNames, advice, spellings, suggested
from pipeline.stores.search import Search

MAX_BYTES = 512 * 2**20  # of one image file
_BRACKETS = "; brackets are a pattern for one character, and '[[]' is the character '[' itself"

ResultsAmong = Callable[[Iterable[str]], set[str]]


def state(store: Store, key: str, tag: str) -> str:
    """A text that is different for another file, and for another content of this file."""
    return f"{store.absolute(key)} {tag}"


class Sources:
    """Reads the images that a manifest names. Its author is not trusted, so only allowed stores are read."""

    def __init__(
        self,
        base: Store,
        allowed: Sequence[Store] = (),
        results_among: ResultsAmong | None = None,
        near: NearNames | None = None,
    ) -> None:
        """Relative references are keys of `base`; absolute ones may lead into `base` or `allowed`.

        `results_among` gets absolute references and returns those that are results of this pipeline.
        Patterns skip these, because each run would otherwise stylize the pictures of the run before it.
        `near` finds the names that errors suggest.
        """
        self._near = near or NearNames()
        self.base, self._allowed, self._results_among = base, allowed, results_among

    @property
    def base_url(self) -> str:
        """The absolute URL of `base`."""
        return self.base.absolute("")

    @property
    def allowed_urls(self) -> tuple[str, ...]:
        """The absolute URLs of the other stores."""
        return tuple(store.absolute("") for store in self._allowed)

    def read(self, reference: str, limit: int = MAX_BYTES) -> bytes:
        """The bytes of a file. Raises `StoreError` with the reference and the reason."""
        return self.fetch(reference, limit)[0]

    def fetch(self, reference: str, limit: int = MAX_BYTES) -> tuple[bytes, str | None]:
        """The bytes of a file, and its state; none where the store does not list tags.

        The state is a text that is different for another file, and for another content of this file.
        Raises `StoreError` with the reference and the reason.
        """
        store, key = self.locate(reference)
        try:
            data, tag = store.fetch(key, limit)
            return data, state(store, key, tag) if tag else None
        except StoreError as error:
            reason = str(error).removeprefix(f"{store.absolute(key)}: ")
            hint = self._hint(reference) if isinstance(error, NotFoundError) else ""
            raise type(error)(f"{reference}: {reason}{hint}") from None

    def search(self, search: Search | None = None) -> Callable[[str], list[str]]:
        """`glob` for the patterns of one manifest, which share the limits of a search."""
        return partial(self.glob, search=search or Search())

    def glob(self, pattern: str, search: Search | None = None) -> list[str]:
        """The references of the images that match a pattern, sorted; without links to what may not be read.

        Raises `StoreError`, also at a limit of the search, and `NotFoundError` with a suggestion if it
        matches nothing and there is something to say about it.
        """
        store, key = self.locate(pattern)
        search = search or Search()
        keys = store.glob(key, search)
        if not keys:
            hint = (_BRACKETS if "[" in pattern else "") + self._pattern_meant(pattern, search)
            if hint:
                raise NotFoundError(f"no image matches '{pattern}'{hint}")
        search.match(len(keys), pattern)
        matches = list(self._readable(store, keys, search))
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
        if found := self._place(absolute):
            return found
        if reference.startswith(("http://", "https://")):
            raise StoreError(f"{reference}: nothing is fetched from the web; put it into {self.base.url}")
        hint = self._hint(reference) or "; move it there, or allow its place with --allow"
        raise StoreError(f"{reference}: lies outside {self.base.url}{hint}")

    def _readable(self, store: Store, keys: Iterable[str], search: Search) -> Iterator[tuple[str, str]]:
        """The references of keys, as they are and absolute, without links to files outside of all places."""
        root = store.absolute("").rstrip("/")
        for key in search.stepping(keys):
            reference = store.reference(key)
            absolute = store.absolute(reference)
            if absolute.startswith(f"{root}/") or self._place(absolute):
                yield reference, absolute
            else:
                search.left_out(f"{root}/{key}", f"is a link to a file outside {root}")

    def _place(self, absolute: str) -> tuple[Store, str] | None:
        for store in (self.base, *self._allowed):
            if (key := store.key(absolute)) is not None:
                return store, key
        return None

    def _places(self, reference: str) -> Iterator[tuple[Store, str]]:
        """Where a reference may lead to, in each of its spellings."""
        for spelling in dict.fromkeys(spellings(reference)):
            try:
                found = self._place(self.base.absolute(spelling))
            except StoreError:
                continue  # it is no path in this spelling
            if found:
                yield found

    def _hint(self, reference: str) -> str:
        """Which other image may be meant, or what is unusual about the reference; empty if nothing is."""
        for store, key in self._places(reference):
            if near := self._near.file(store, key):
                meant = self._named(store, store.reference(near))
                return suggested(meant, reference) if meant != reference else ""
        return advice(reference)

    def _pattern_meant(self, pattern: str, search: Search) -> str:
        """The same for a pattern that matches nothing."""
        for store, key in self._places(pattern):
            parts = key.split("/")
            fixed = list(takewhile(lambda part: not patterns.is_pattern(part), parts[:-1]))
            near = self._near.folder(store, "/".join(fixed))
            if near is None:
                continue
            start = f"{patterns.escaped(near)}/" if near else ""
            rest = "/".join(parts[len(fixed) :])
            forms = [unicodedata.normalize(form, rest) for form in ("NFC", "NFD")]
            for meant in dict.fromkeys(start + part for part in (rest, *forms, rest.replace("[", "[[]"))):
                if meant != pattern and store.glob(meant, search):
                    return suggested(self._named(store, meant), pattern)
        return advice(pattern)

    def _named(self, store: Store, reference: str) -> str:
        """A reference in this store, as a manifest would have it."""
        return reference if store is self.base else store.absolute(reference)
