"""Finds out by listings which images have changed, without a request for each image."""

import time

from pipeline.errors import StoreError
from pipeline.stores.base import Store
from pipeline.stores.sources import Sources, state
from pipeline.timing import Timing


class ListedStates:
    """The states of images, as `Sources.fetch` returns them.

    Each folder is listed once, and again when its listing is older than `Timing.listing`.
    """

    def __init__(self, sources: Sources, timing: Timing = Timing()) -> None:
        self._sources, self._timing = sources, timing
        # Time and tags, by place.
        self._listings: dict[tuple[str, str], tuple[float, dict[str, str | None]]] = {}

    def state(self, reference: str) -> str | None:
        """The state of an image; none if that cannot be found out now, or only by reading the image."""
        try:
            store, key = self._sources.locate(reference)
            folder, _, name = key.rpartition("/")
            tag = self._tags(store, folder).get(name)
        except StoreError:
            return None  # the reader of the image meets the same fault and reports it
        return state(store, key, tag) if tag else None

    def _tags(self, store: Store, folder: str) -> dict[str, str | None]:
        if not store.lists_tags:
            return {}
        place, now = (store.url, folder), time.monotonic()
        listed, tags = self._listings.get(place, (now, None))
        if tags is None or now > listed + self._timing.listing:
            self._listings[place] = now, {}  # if this fails, it is not tried again for each image
            tags = {entry.name: entry.tag for entry in store.entries(folder)}
            self._listings[place] = now, tags
        return tags
