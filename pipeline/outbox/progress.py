"""How far the shards of each manifest in an outbox are, for `status`."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nst.errors import NSTError
from pipeline.manifest.shard import Shard
from pipeline.outbox.pages import INDEX
from pipeline.outbox.shared_notes import SharedNotes
from pipeline.stores.base import Store
from pipeline.stores.patterns import name_matches

_THREADS = 16  # that read plans: in a bucket, each takes one request
_MOST = 1_000_000  # folders of an outbox


@dataclass(frozen=True)
class Progress:
    """What the shards of one manifest have done. A pair that was done after it had failed counts as done."""

    pairs: int
    done: int
    failed: int
    shards: int
    missing: list[int]  # the shards, from 1, with a pair that is neither done nor has failed
    page: bool  # whether there is a page


def progress(store: Store) -> dict[str, Progress | NSTError]:
    """The progress of each manifest of which shards have begun, by its name; an error if it cannot be read.

    Raises `StoreError` if the folders of the store cannot be listed.
    """
    names = [name.removesuffix("/") for name in store.names("", _MOST) if name.endswith("/")]
    # Without the folders of storage systems, such as `lost+found`.
    folders = [name for name in names if name_matches(name, "*", last=False)]
    with ThreadPoolExecutor(_THREADS, "plans") as pool:
        found = zip(folders, pool.map(lambda name: _progress_or_error(store, name), folders), strict=True)
        return {name: each for name, each in found if each}


def _progress_or_error(store: Store, manifest: str) -> Progress | NSTError | None:
    try:
        return _progress(store, manifest)
    except NSTError as error:
        return error


def _progress(store: Store, manifest: str) -> Progress | None:
    notes = SharedNotes(store, manifest)
    plan = notes.plan()
    if plan is None:
        return None
    ids = notes.ids(plan)
    entries = {entry.name: entry for entry in store.entries(manifest)}
    ends = notes.ends(plan, entries)
    failed, done = set(ids).intersection(ends.failed), set(ends.done(ids))
    missing = list(_missing(ids, done | failed, plan.shards))
    return Progress(len(ids), len(done), len(failed), plan.shards, missing, INDEX in entries)


def _missing(ids: list[str], settled: set[str], shards: int) -> Iterator[int]:
    for number in range(1, shards + 1):
        if not settled.issuperset(Shard(number, shards).of(ids)):
            yield number
