"""What the outbox has of one manifest: what was done before, and in which order a result is written."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.errors import NotFoundError
from pipeline.outbox.edited import EditedPictures
from pipeline.outbox.pages import Kept, Pages
from pipeline.outbox.record import LONGEST, Record, read_record, record_name, sha256_of
from pipeline.outbox.snapshots import SnapshotFolder
from pipeline.outbox.writing import Confirm, Writer, waiting_for_outbox
from pipeline.stores.base import Entry, Store
from pipeline.timing import Timing


@dataclass(frozen=True)
class Found:
    """What the outbox has of a pair before work on it begins.

    `tag` is that of the record's file, if it is known. `whole` if picture and loss log are those of the
    record. `edited` if another picture is in the place of the record's. `reused` if the record came from the
    file of its page. `refusal` says why this version must not replace a result of a newer version.
    """

    record: Record | None = None
    tag: str | None = None
    whole: bool = False
    edited: bool = False
    reused: bool = False
    refusal: str = ""

    @property
    def kept(self) -> Kept | None:
        """The record for the page; without a tag if it must be read again by the next runner."""
        return Kept(self.record, None if self.refusal else self.tag) if self.record else None


class Results:
    """Looks up and writes the results of one manifest.

    Its folder in the outbox is listed once, and again when the listing is older than `Timing.listing`. All
    methods may raise `UnavailableError`, `NameRefusedError` if the store cannot hold a name, and `StoreError`
    if a file is too large to be read.
    """

    def __init__(
        self,
        store: Store,
        manifest: str,
        pairs: Sequence[str],
        timing: Timing,
        warn: Callable[[str], None],
    ) -> None:
        self._store, self._manifest, self._timing, self._warn = store, manifest, timing, warn
        self._writer = Writer(store, manifest)
        self._edited = EditedPictures(store, manifest, pairs, warn)
        self._thumbnails: set[str] = set()  # that were written
        self._entries: dict[str, Entry] = {}
        self._list()
        self.pages = Pages(store, manifest, pairs, self.seen)

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
        if entry is None:
            return Found()
        kept = self.pages.earlier(pair)
        if kept and kept.tag == entry.tag:
            return self._compared(kept, reused=True)
        if entry.size > LONGEST:
            return self._damaged(pair)
        try:
            with waiting_for_outbox():
                text, tag = self._store.fetch(f"{self._manifest}/{entry.name}", LONGEST)
        except NotFoundError:  # deleted after the listing
            return Found()
        reading = read_record(text)
        if reading.record and reading.record.id == pair:
            return self._compared(
                Kept(reading.record, tag), refusal=self._refusal(pair) if reading.newer else ""
            )
        return Found(refusal=self._refusal(pair)) if reading.newer else self._damaged(pair)

    def put(
        self,
        record: Record,
        picture: bytes,
        log: bytes,
        thumbnails: Mapping[str, bytes],
        earlier: Found,
        confirm: Confirm,
        snapshots: Mapping[str, bytes] = {},
    ) -> Kept:
        """Write thumbnails, loss log, picture, snapshots and record, in this order.

        They take the place of what was found. What has another name now is deleted first: the picture, its
        thumbnail, and snapshots of which there are no new ones.
        `confirm` is called before each file. It raises `ClaimLostError` if another runner may already write
        the same files. Raises `ConflictError` if another program keeps changing one of them.
        """
        for name, thumbnail in thumbnails.items():
            self._put_thumbnail(name, thumbnail, confirm)
        if earlier.record and (earlier.edited or self._edited.is_edited(earlier.record)):
            self._edited.keep(earlier.record, confirm)
        folder = SnapshotFolder(self._store, self._manifest, record.id)
        if snapshots or (earlier.record and earlier.record.snapshots):
            folder.remove_others(snapshots, confirm)
        if earlier.record:
            # Before its record, without which nobody would know of these files after a crash.
            self._remove_replaced(earlier.record, record, confirm)
        # Otherwise the earlier record would describe the new picture for a moment.
        self._writer.remove(record_name(record.id), self.seen(record_name(record.id)), confirm)
        tags, digests = {}, {}
        # Write the log before the picture: patterns skip a picture as a result only if its log exists.
        for name, data in ((record.log, log), (record.picture, picture)):
            tags[name] = self._writer.put(name, data, self.seen(name), confirm)
            digests[name] = sha256_of(data)
        folder.put(snapshots, confirm)
        record = record.model_copy(update={"tags": tags, "digests": digests})
        text = record.model_dump_json(indent=1).encode()
        tag = self._writer.put(record_name(record.id), text, None, confirm)
        return Kept(record, tag)

    def seen(self, name: str) -> str | None:
        """The tag of a file, as the listing shows it; none if there is no such file."""
        entry = self._entries.get(name)
        if entry is None:
            return None
        return entry.tag or self._writer.tag(name)

    def _list(self) -> None:
        began = time.monotonic()
        with waiting_for_outbox():
            self._entries = {entry.name: entry for entry in self._store.entries(self._manifest)}
        self._listed = began

    def _compared(self, kept: Kept, reused: bool = False, refusal: str = "") -> Found:
        """Compare a record with the files that it describes."""
        record = kept.record
        picture = self._is_same(record, record.picture)
        whole = bool(picture and self._is_same(record, record.log))
        return Found(record, kept.tag, whole, picture is False, reused, refusal)

    def _damaged(self, pair: str) -> Found:
        self._warn(f"{self._url(record_name(pair))}: damaged; the pair is computed again")
        return Found()

    def _is_same(self, record: Record, name: str) -> bool | None:
        """Whether a file is the one that the record describes; none if there is no such file."""
        entry, tag = self._entries.get(name), record.tags.get(name)
        if entry is None or tag is None:
            return None
        if entry.tag == tag:
            return True
        if tag.isdecimal():  # earlier versions wrote the size of a file in a folder
            return entry.size == int(tag)
        # The listing of some server may write tags in another way.
        return self._edited.is_same(record, name)

    def _remove_replaced(self, earlier: Record, record: Record, confirm: Confirm) -> None:
        """Delete the picture of an earlier record and its thumbnail if those of the new one are others."""
        if earlier.picture != record.picture:
            self._writer.remove(earlier.picture, self.seen(earlier.picture), confirm)
        if earlier.thumbnail and earlier.thumbnail != record.thumbnail:
            self._writer.remove(earlier.thumbnail, self._writer.tag(earlier.thumbnail), confirm)

    def _put_thumbnail(self, name: str, data: bytes, confirm: Confirm) -> None:
        """Write a thumbnail, unless it is there: its name is a digest of its image."""
        if name not in self._thumbnails:
            self._writer.put_new(name, data, confirm)
            self._thumbnails.add(name)

    def _refusal(self, pair: str) -> str:
        return (
            f"{self._url(record_name(pair))}: a newer version of this program wrote it, for other inputs "
            "or parameters; use that version, or remove this file"
        )

    def _url(self, name: str) -> str:
        return f"{self._store.url}/{self._manifest}/{name}"
