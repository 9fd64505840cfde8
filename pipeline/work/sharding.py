"""How the job of a whole manifest becomes that of one shard: its pairs, its reservation, and how it ends."""

import time

from pipeline.errors import StoreError
from pipeline.events.listener import Note
from pipeline.manifest.shard import Shard
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.shards import Plan, SharedNotes, digest_of
from pipeline.outbox.whole import SharedEnd
from pipeline.stores.base import Reservation
from pipeline.work.job import Job
from pipeline.work.session import Session

_PATIENCE = 3  # times the duration of a lease, for which a process that holds the same shard is waited for


def become_shard(job: Job, shard: Shard, outbox: Outbox, session: Session, replace: bool) -> None:
    """Reduce a job to the pairs of a shard, after noting in the outbox what is divided.

    A process before this one may have died with the shard, perhaps on another machine: its reservation is
    waited for. Raises `UsageError` if shards of something else have begun in this folder, unless `replace` is
    true, and `StoreError` if another process works on this shard, or on the whole manifest.
    """
    digest = digest_of(job.pairs)
    plan = Plan(digest=digest, pairs=len(job.pairs), shards=shard.count, manifest=job.origin)
    SharedNotes(outbox.store, job.name).join(plan, job.ids, replace)
    job.reservation = _reserved(job.name, shard, outbox, session)
    job.pairs = shard.of(job.pairs)
    job.shared = SharedEnd(outbox.store, job.name, plan, job.ids, shard)


def _reserved(name: str, shard: Shard, outbox: Outbox, session: Session) -> Reservation:
    place, timing = f"{outbox.store.url}/{name}", session.timing
    until, waiting = time.monotonic() + _PATIENCE * timing.lease, False
    while (reservation := outbox.store.reserve(name, f"{shard.number}-of-{shard.count}")) is None:
        if time.monotonic() > until:
            raise StoreError(
                f"{place}: another process works on shard {shard}, or on the whole manifest; start this one "
                "when that has ended"
            )
        if not waiting:
            message = f"{place}: another process has shard {shard}; waiting for its end"
            session.listener.hear(Note(message, details={"manifest": name}))
        waiting = True
        session.stop.wait(min(timing.scan, timing.lease / 4))
    return reservation
