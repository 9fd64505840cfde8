"""Looks up what the outbox has of the pairs of a job, before they are given to an engine."""

from pipeline.manifest.models import Pair
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.results import Found, Results
from pipeline.stores.base import History
from pipeline.stores.listed import ListedStates
from pipeline.work.job import Job
from pipeline.work.session import Session

_MANY = 32  # pairs that are done; the images of fewer are read, because a listing may be long


class Lookup:
    """Opens the results of a job when its first pair is looked up. All methods may raise `StoreError`."""

    def __init__(self, outbox: Outbox, session: Session) -> None:
        self._outbox, self._session = outbox, session

    def find(self, job: Job, pair: Pair) -> Found:
        """What the outbox has of a pair."""
        return (job.results or self._open(job)).find(pair.id)

    def unchanged_images(self, job: Job, found: Found) -> dict[str, str]:
        """The SHA-256 of those images of a result that have not changed since, by their references."""
        if found.record is None or job.states is None:
            return {}
        images = [image for image in found.record.images if image.state]
        return {i.reference: i.sha256 for i in images if i.state == job.states.state(i.reference)}

    def _open(self, job: Job) -> Results:
        """List the results of a job. Its pairs without a record go first, so that new work begins at once."""
        ids, timing = job.ids, self._session.timing
        # Nobody else writes to a reserved folder. A runner that has died may have left something behind; of
        # manifest files, nobody knows whether one has died with them.
        if job.reservation and not job.shared and (not job.claimed or job.claimed.history != History()):
            self._outbox.store.tidy(job.name)
        results = self._outbox.open(job.name, ids, job.confirm, timing, self._session.warn)
        self._outbox.note_origin(job.name, job.origin, results.new, job.confirm)
        job.put_last(lambda pair: results.done_before(pair.id))
        if sum(results.done_before(pair.id) for pair in job.pairs) >= _MANY:
            job.states = ListedStates(job.sources, timing)
        job.results = results
        return results
