"""The page of a manifest that shards have worked on: written when every pair is done or has failed."""

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from pipeline.errors import ClaimLostError, NotFoundError, Problem, StoreError, TooLargeError
from pipeline.manifest.shard import Shard
from pipeline.outbox.pages import INDEX, PAIRS, Kept, Pages
from pipeline.outbox.record import LONGEST, read_record, record_name
from pipeline.outbox.shared_notes import Plan, SharedNotes
from pipeline.outbox.writing import Confirm, waiting_for_outbox
from pipeline.stores.base import Entry, Store

_THREADS = 16  # that read records: in a bucket, each takes one request


@dataclass(frozen=True)
class State:
    """How far all shards are: pairs that are neither done nor have failed, and those that have failed."""

    left: int
    failed: int


class SharedEnd:
    """What one shard does at its end.

    First it notes what has failed, and then it counts what is left. So of two shards that end at the same
    time, at least one finds that nothing is left, and writes the page; if both do, they write the same.
    """

    def __init__(self, store: Store, manifest: str, plan: Plan, ids: Sequence[str], shard: Shard) -> None:
        """`ids` are those of all pairs, in the order of the manifest."""
        self._store, self._manifest, self._plan = store, manifest, plan
        self._ids, self.shard = ids, shard
        self._notes = SharedNotes(store, manifest)

    def end(self, problems: Sequence[Problem], computed: bool, confirm: Confirm) -> State:
        """Note the problems of this shard, and write the page if nothing is left.

        `computed` if this process has computed a pair; otherwise a page that is newer than all records stays.
        Raises `UnavailableError`, `StoreError` if a record or a note is damaged, and `ClaimLostError` also
        where shards of something else have begun.
        """
        self._notes.note_end(self._plan, self.shard, problems, confirm)
        with waiting_for_outbox():
            entries = {entry.name: entry for entry in self._store.entries(self._manifest)}
        ends = self._notes.ends(self._plan, entries)
        with waiting_for_outbox():
            noted = self._notes.plan()
        if noted is None or not noted.agrees(self._plan):
            place = f"{self._store.url}/{self._manifest}"
            raise ClaimLostError(f"{place}: shards of something else have begun there; no page is written")
        failed = {i: ends.failed[i] for i in self._ids if i in ends.failed}
        done = [entries[record_name(i)] for i in ends.done(self._ids)]
        left = len(self._ids) - len(failed) - len(done)
        if not left and (computed or not _is_newest(entries.get(INDEX), [*done, *ends.files])):
            page = _WholePage(self._store, self._manifest, self._ids, entries, self.shard.count)
            left = page.put(failed, confirm)
        return State(left, len(failed))


def _is_newest(page: Entry | None, files: Iterable[Entry]) -> bool:
    return page is not None and all(file.modified < page.modified for file in files)


class _WholePage:
    """Reads the records of all pairs, and writes the page, or all pages, and `index.html` last."""

    def __init__(
        self, store: Store, manifest: str, ids: Sequence[str], entries: Mapping[str, Entry], shards: int
    ) -> None:
        self._store, self._manifest, self._ids, self._entries = store, manifest, ids, entries
        self._shards = shards
        self._pages = Pages(store, manifest, ids, self._seen)
        self._reading = threading.Lock()  # of a file with the records of one page

    def put(self, failed: Mapping[str, Problem], confirm: Confirm) -> int:
        """Write it, unless a record was deleted; how many were. Raises `StoreError` if one is damaged."""
        with ThreadPoolExecutor(_THREADS, "records") as pool:
            for start in range(0, len(self._ids), PAIRS):
                some = [pair for pair in self._ids[start : start + PAIRS] if pair not in failed]
                found = dict(zip(some, pool.map(self._record, some), strict=True))
                if unread := sum(reading is None for reading in found.values()):
                    return unread
                number = None
                for pair in self._ids[start : start + PAIRS]:
                    kept, reused = found.get(pair) or (None, False)
                    number = self._pages.settle(pair, kept or failed[pair], reused)
                if number is not None:
                    self._pages.put(number, confirm)
        self._pages.put_index(list(failed.values()), confirm)
        return 0

    def _record(self, pair: str) -> tuple[Kept, bool] | None:
        """The record of a pair, and whether it is that in the file of its page; none if it was deleted.

        Raises `StoreError` if it is damaged.
        """
        with self._reading:
            kept = self._pages.earlier(pair)
        if kept and kept.tag == self._entries[record_name(pair)].tag:
            return kept, True
        try:
            with waiting_for_outbox():
                text, tag = self._store.fetch(f"{self._manifest}/{record_name(pair)}", LONGEST)
        except NotFoundError:  # deleted after the listing
            return None
        except TooLargeError:
            text, tag = b"", None
        reading = read_record(text)
        if reading.record is None or reading.record.id != pair:
            shard = Shard(self._ids.index(pair) % self._shards + 1, self._shards)
            place = f"{self._store.url}/{self._manifest}/{record_name(pair)}"
            if reading.newer:
                raise StoreError(f"{place}: a newer version of this program wrote it; use that version")
            raise StoreError(f"{place}: damaged; repeat shard {shard}, which computes the pair again")
        return Kept(reading.record, None if reading.newer else tag), False

    def _seen(self, name: str) -> str | None:
        entry = self._entries.get(name)
        if entry is None or entry.tag:
            return entry.tag if entry else None
        with waiting_for_outbox():
            return self._store.tag(f"{self._manifest}/{name}")
