"""The page of a manifest that shards have worked on: written when every pair is done or has failed."""

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pipeline.errors import ClaimLostError, Problem, StoreError
from pipeline.manifest.shard import Shard
from pipeline.outbox.pages import INDEX, PAIRS, Kept, Pages
from pipeline.outbox.record import record_name
from pipeline.outbox.result_folder import Confirm, ResultFolder, waiting_for_outbox
from pipeline.outbox.shared_notes import Plan, SharedNotes
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

    def __init__(
        self, store: Store, manifest: str, plan: Plan, ids: Sequence[str], shard: Shard, confirm: Confirm
    ) -> None:
        """`ids` are those of all pairs, in the order of the manifest. `confirm` comes before each change."""
        self._plan, self._ids, self.shard = plan, ids, shard
        self._folder, self._notes = ResultFolder(store, manifest, confirm), SharedNotes(store, manifest)

    def end(self, problems: Sequence[Problem], computed: bool) -> State:
        """Note the problems of this shard, and write the page if nothing is left.

        `computed` if this process has computed a pair; otherwise a page that is newer than all records stays.
        Raises `UnavailableError`, `StoreError` if a record or a note is damaged, and `ClaimLostError` also
        where shards of something else have begun.
        """
        self._notes.note_end(self._plan, self.shard, problems, self._folder)
        entries = self._folder.entries()
        ends = self._notes.ends(self._plan, entries)
        with waiting_for_outbox():
            noted = self._notes.plan()
        if noted is None or (noted.digest, noted.shards) != (self._plan.digest, self._plan.shards):
            place = self._folder.url()
            raise ClaimLostError(f"{place}: shards of something else have begun there; no page is written")
        failed = {i: ends.failed[i] for i in self._ids if i in ends.failed}
        done = [entries[record_name(i)] for i in ends.done(self._ids)]
        left = len(self._ids) - len(failed) - len(done)
        if not left and (computed or not _is_newest(entries.get(INDEX), [*done, *ends.files])):
            left = _WholePage(self._folder, self._ids, entries, self.shard.count).put(failed)
        return State(left, len(failed))


def _is_newest(page: Entry | None, files: Iterable[Entry]) -> bool:
    return page is not None and all(file.modified < page.modified for file in files)


class _WholePage:
    """Reads the records of all pairs, and writes the page, or all pages, and `index.html` last."""

    def __init__(
        self, folder: ResultFolder, ids: Sequence[str], entries: Mapping[str, Entry], shards: int
    ) -> None:
        self._folder, self._ids, self._entries, self._shards = folder, ids, entries, shards
        self._pages = Pages(folder, ids, partial(folder.listed_tag, entries))

    def put(self, failed: Mapping[str, Problem]) -> int:
        """Write it, unless records were deleted since the listing; the number of those that were.

        Raises `StoreError` if a record is damaged.
        """
        with ThreadPoolExecutor(_THREADS, "records") as pool:
            for start in range(0, len(self._ids), PAIRS):
                some = [pair for pair in self._ids[start : start + PAIRS] if pair not in failed]
                found = dict(zip(some, pool.map(self._record, some), strict=True))
                if unread := sum(reading is None for reading in found.values()):
                    return unread
                number = None
                for pair in self._ids[start : start + PAIRS]:
                    kept, reused = found.get(pair) or (None, False)
                    number = self._pages.settle(kept or failed[pair], reused)
                if number is not None:
                    self._pages.put(number)
        self._pages.put_index(list(failed.values()))
        return 0

    def _record(self, pair: str) -> tuple[Kept, bool] | None:
        """The record of a pair, and whether it is reused; none if it was deleted after the listing.

        Raises `StoreError` if it cannot be understood.
        """
        name = record_name(pair)
        found = self._pages.look_up(pair, self._entries[name])
        if found is None:
            return None
        if found.kept:
            return found.kept, found.reused
        place = self._folder.url(name)
        if found.newer:
            raise StoreError(f"{place}: a newer version of this program wrote it; use that version")
        shard = Shard(self._ids.index(pair) % self._shards + 1, self._shards)
        raise StoreError(f"{place}: damaged; repeat shard {shard}, which computes the pair again")
