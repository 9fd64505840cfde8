"""Opens stores by the URLs and paths that an operator writes."""

from collections.abc import Sequence
from typing import Any

from pipeline.errors import UsageError
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.near import NearNames
from pipeline.stores.sources import ResultsAmong, Sources
from pipeline.timing import Timing


class Stores:
    """Opens folders, `s3://bucket/prefix` and `memory://name`. All buckets share one client."""

    def __init__(
        self,
        endpoint_url: str | None = None,
        timing: Timing = Timing(),
        client: Any = None,
        alone: bool = False,
    ) -> None:
        """`client` is boto3's client of S3; by default one for `endpoint_url` is made when it is needed.

        With `alone`, no other machine has a runner at these stores.
        """
        self._endpoint_url, self._timing, self._client, self._alone = endpoint_url, timing, client, alone
        self._near = NearNames(timing)
        self._opened: dict[str, Store] = {}  # each by its URL or path as given, and by the absolute one
        self._image_places: dict[str, None] = {}  # absolute URLs, in order

    def open(self, url: str) -> Store:
        """The store at a URL or path, which need not exist yet. Raises `UsageError`.

        It is the same object every time.
        """
        if url not in self._opened:
            store = self._open(url)
            self._opened[url] = self._opened.setdefault(store.absolute(""), store)
        return self._opened[url]

    def inbox(self, url: str) -> Store:
        """The store that manifests arrive in. Raises `UsageError` if it does not exist."""
        store = self.open(url)
        if not store.exists():
            raise UsageError(f"inbox {url}: no such folder; make it first")
        store.entries("processing")  # raises an error now if it can't be listed
        return store

    def outbox(self, url: str, apart_from: Store | None = None) -> Store:
        """The store that results go to; it is created if it is missing.

        Raises `UsageError` if it and `apart_from` are the same or one contains the other, and `StoreError`
        if it can't be written to, so that this is known before the first picture is made.
        """
        store = self.open(url)
        absolute = store.absolute("")
        if apart_from and (
            apart_from.key(absolute) is not None or store.key(apart_from.absolute("")) is not None
        ):
            raise UsageError(f"inbox {apart_from.url} and outbox {url} lie in one another; choose two apart")
        store.make()
        return store

    def sources(
        self, base: str, allow: Sequence[str] = (), results_among: ResultsAmong | None = None
    ) -> Sources:
        """The images relative to `base`, or in the bucket around it, or below the URLs in `allow`.

        See `Sources` for `results_among`. Raises `UsageError`.
        """
        store = self.open(base)
        around = [store.surroundings] if store.surroundings else []
        allowed = dict.fromkeys(self.open(url) for url in (*around, *allow))
        # The bucket around a prefix is left out: not everybody may list it.
        self._image_places |= dict.fromkeys(self.open(url).absolute("") for url in (base, *allow))
        return Sources(store, list(allowed), results_among, self._near)

    @property
    def image_places(self) -> tuple[str, ...]:
        """The absolute URLs of all stores that `sources` was given so far."""
        return tuple(self._image_places)

    def _open(self, url: str) -> Store:
        scheme, separator, _ = url.partition("://")
        if not separator:
            return FolderStore(url, self._timing, self._alone)
        if scheme == "memory":
            return MemoryStore.open(url)
        if scheme != "s3":
            raise UsageError(f"{url}: a folder or s3://BUCKET/PREFIX is needed")
        # Imported here, because boto3 takes long to import and most runners use folders only.
        from pipeline.stores.aws import connect
        from pipeline.stores.s3 import S3Store

        self._client = self._client or connect("s3", self._endpoint_url, timing=self._timing)
        return S3Store(url, self._client, self._timing)
