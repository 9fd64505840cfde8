"""The folder with the snapshots of a pair: small JPEGs of the pair on its way, and an animation of them."""

import re
from collections.abc import Collection, Mapping
from functools import cached_property

from pipeline.outbox.record import snapshots_folder
from pipeline.outbox.writing import Confirm, Writer, waiting_for_outbox
from pipeline.stores.base import Store

# A path that ends with one that `RecordedSnapshots.of` makes.
SNAPSHOT = re.compile(r".+\.snapshots/([0-9]{2}\.jpg|animation\.webp)")


class SnapshotFolder:
    """The snapshots of one pair. Their folder is listed once, when that is needed first.

    Both methods call `confirm` before each change. They raise what `Writer` raises.
    """

    def __init__(self, store: Store, manifest: str, pair: str) -> None:
        self._store, self._manifest, self._folder = store, manifest, snapshots_folder(pair)
        self._writer = Writer(store, manifest)

    def remove_others(self, names: Collection[str], confirm: Confirm) -> None:
        """Delete the snapshots that are there and not among these names. Files of other names stay."""
        for name, tag in self._tags.items():
            if name not in names:
                self._writer.remove(name, tag, confirm)

    def put(self, files: Mapping[str, bytes], confirm: Confirm) -> None:
        """Write snapshots by their names, relative to the outbox folder of the manifest."""
        for name, data in files.items():
            self._writer.put(name, data, self._tags.get(name), confirm)

    @cached_property
    def _tags(self) -> dict[str, str | None]:
        """The tags of the snapshots that are there, by name."""
        with waiting_for_outbox():
            entries = self._store.entries(f"{self._manifest}/{self._folder}")
            found = {f"{self._folder}/{entry.name}": entry.tag for entry in entries}
            return {
                name: tag or self._store.tag(f"{self._manifest}/{name}")
                for name, tag in found.items()
                if SNAPSHOT.fullmatch(name)
            }
