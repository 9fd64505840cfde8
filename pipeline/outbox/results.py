"""What the outbox has of one manifest: what was done before, and in which order a result is written."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.outbox.edited import EditedPictures
from pipeline.outbox.pages import Kept, Pages
from pipeline.outbox.record import SNAPSHOT, Record, record_name, sha256_of, snapshots_folder
from pipeline.outbox.result_folder import ResultFolder
from pipeline.stores.base import Entry
from pipeline.timing import Timing


@dataclass(frozen=True)
class Found:
    """What the outbox has of a pair before work on it begins.

    `whole` if picture and loss log are those of the record. `edited` if another picture is in the place of
    the record's. `reused` if the record came from the file of its page. `refusal` says why this version must
    not replace a result of a newer version.
    """

    kept: Kept | None = None
    whole: bool = False
    edited: bool = False
    reused: bool = False
    refusal: str = ""

    @property
    def record(self) -> Record | None:
        """The record that is there."""
        return self.kept.record if self.kept else None


class Results:
    """Looks up and writes the results of one manifest.

    Its folder in the outbox is listed once, and again when the listing is older than `Timing.listing`. All
    methods may raise `UnavailableError`, `NameRefusedError` if the store cannot hold a name, and `StoreError`
    if a file is too large to be read.
    """

    def __init__(
        self, folder: ResultFolder, pairs: Sequence[str], timing: Timing, warn: Callable[[str], None]
    ) -> None:
        self._folder, self._timing, self._warn = folder, timing, warn
        self._edited = EditedPictures(folder, pairs, warn)
        self._thumbnails: set[str] = set()  # that were written
        self._entries: dict[str, Entry] = {}
        self._list()
        self.pages = Pages(folder, pairs, self._seen)

    @property
    def new(self) -> bool:
        """Whether the folder had no files at the last listing."""
        return not self._entries

    def done_before(self, pair: str) -> bool:
        """Whether there was a record of the pair at the last listing."""
        return record_name(pair) in self._entries

    def find(self, pair: str) -> Found:
        """What there is of a pair."""
        if time.monotonic() > self._listed + self._timing.listing:
            self._list()
        entry = self._entries.get(record_name(pair))
        found = self.pages.look_up(pair, entry) if entry else None
        if found is None:
            return Found()
        refusal = self._refusal(pair) if found.newer else ""
        if found.kept:
            return self._compared(found.kept, found.reused, refusal)
        if not found.newer:
            self._warn(f"{self._folder.url(record_name(pair))}: damaged; the pair is computed again")
        return Found(refusal=refusal)

    def put(
        self,
        record: Record,
        picture: bytes,
        log: bytes,
        thumbnails: Mapping[str, bytes],
        earlier: Found,
        snapshots: Mapping[str, bytes] = {},
    ) -> Kept:
        """Write thumbnails, loss log, picture, snapshots and record, in this order.

        They take the place of what was found. What has another name now is deleted first: the picture, its
        thumbnail, and snapshots of which there are no new ones.
        Raises `ClaimLostError` if another runner may already write the same files, and `ConflictError` if
        another program keeps changing one of them.
        """
        for name, thumbnail in thumbnails.items():
            self._put_thumbnail(name, thumbnail)
        if earlier.record and (earlier.edited or self._edited.is_edited(earlier.record)):
            self._edited.keep(earlier.record)
        with_snapshots = snapshots or (earlier.record and earlier.record.snapshots)
        there = self._snapshots(record.id) if with_snapshots else {}
        for name, seen in there.items():
            if name not in snapshots:
                self._folder.remove(name, seen)
        if earlier.record:
            # Before its record, without which nobody would know of these files after a crash.
            self._remove_replaced(earlier.record, record)
        # Otherwise the earlier record would describe the new picture for a moment.
        self._folder.remove(record_name(record.id), self._seen(record_name(record.id)))
        tags, digests = {}, {}
        # Write the log before the picture: patterns skip a picture as a result only if its log exists.
        for name, data in ((record.log, log), (record.picture, picture)):
            tags[name] = self._folder.put(name, data, self._seen(name))
            digests[name] = sha256_of(data)
        for name, data in snapshots.items():
            self._folder.put(name, data, there.get(name))
        record = record.model_copy(update={"tags": tags, "digests": digests})
        text = record.model_dump_json(indent=1).encode()
        tag = self._folder.put(record_name(record.id), text, None)
        return Kept(record, tag)

    def _seen(self, name: str) -> str | None:
        return self._folder.listed_tag(self._entries, name)

    def _list(self) -> None:
        began = time.monotonic()
        self._entries = self._folder.entries()
        self._listed = began

    def _compared(self, kept: Kept, reused: bool, refusal: str) -> Found:
        """Compare a record with the files that it describes."""
        picture = self._is_same(kept.record, kept.record.picture)
        whole = bool(picture and self._is_same(kept.record, kept.record.log))
        return Found(kept, whole, picture is False, reused, refusal)

    def _is_same(self, record: Record, name: str) -> bool | None:
        return self._edited.is_same(record, name, self._entries.get(name))

    def _snapshots(self, pair: str) -> dict[str, str | None]:
        """The tags of the snapshots of a pair that are there, by name. Files of other names are left out."""
        entries = self._folder.entries(snapshots_folder(pair))
        return {name: self._folder.listed_tag(entries, name) for name in entries if SNAPSHOT.fullmatch(name)}

    def _remove_replaced(self, earlier: Record, record: Record) -> None:
        """Delete the picture of an earlier record and its thumbnail if those of the new one are others."""
        if earlier.picture != record.picture:
            self._folder.remove(earlier.picture, self._seen(earlier.picture))
        if earlier.thumbnail and earlier.thumbnail != record.thumbnail:
            self._folder.remove(earlier.thumbnail, self._folder.tag(earlier.thumbnail))

    def _put_thumbnail(self, name: str, data: bytes) -> None:
        """Write a thumbnail, unless it is there: its name is a digest of its image."""
        if name not in self._thumbnails:
            self._folder.put_new(name, data)
            self._thumbnails.add(name)

    def _refusal(self, pair: str) -> str:
        return (
            f"{self._folder.url(record_name(pair))}: a newer version of this program wrote it, for other "
            "inputs or parameters; use that version, or remove this file"
        )
