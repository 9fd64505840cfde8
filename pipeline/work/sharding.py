"""How the job of a whole manifest becomes that of one shard: its pairs, its reservation, and how it ends."""

from pipeline.errors import printable
from pipeline.manifest.shard import Shard
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.shared_end import SharedEnd
from pipeline.outbox.shared_notes import Plan, SharedNotes, digest_of
from pipeline.work.job import Job
from pipeline.work.reserving import reserve
from pipeline.work.session import Session


def become_shard(job: Job, shard: Shard, outbox: Outbox, session: Session, replace: bool) -> None:
    """Reduce a job to the pairs of a shard, after noting in the outbox what is divided.

    Raises `UsageError` if shards of something else have begun in this folder, unless `replace` is true, and
    `StoreError` if another process works on this shard, or on the whole manifest, see `reserve`.
    """
    digest = digest_of(job.pairs)
    plan = Plan(digest=digest, pairs=len(job.pairs), shards=shard.count, manifest=printable(job.origin))
    SharedNotes(outbox.store, job.name).join(plan, job.ids, replace)
    taken = f"another process works on shard {shard}, or on the whole manifest"
    remedy = "start this one when that has ended"
    part = f"{shard.number}-of-{shard.count}"
    for error in reserve([job], outbox.store, session, taken, remedy, part).values():
        raise error
    job.pairs = shard.of(job.pairs)

    def confirm() -> None:
        session.pulse.beat()  # the pages of many pairs take long
        job.confirm()

    job.shared = SharedEnd(outbox.store, job.name, plan, job.ids, shard, confirm)
