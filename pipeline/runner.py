"""From settings to a runner, for `watch` and `serve`."""

from dataclasses import dataclass

from pipeline.environment import Environment
from pipeline.errors import UsageError
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import FolderEvents, Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings, needed
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work.session import Session
from pipeline.work.watch import Watch


@dataclass(frozen=True)
class Places:
    """An inbox and an outbox, opened and checked."""

    stores: Stores
    inbox: Store
    outbox: Outbox


def open_places(environment: Environment, settings: Settings) -> Places:
    """The stores of the settings. Raises `UsageError`, `StoreError`."""
    stores = environment.stores(settings)
    inbox = stores.inbox(needed("inbox", settings.inbox))
    return Places(stores, inbox, Outbox(stores.outbox(needed("outbox", settings.outbox), apart_from=inbox)))


def make_runner(environment: Environment, settings: Settings, places: Places, session: Session) -> Watch:
    """A runner that works on what is in the inbox. Raises `UsageError`, `StoreError`."""
    source, timing = places.inbox, environment.timing
    if not settings.alone and (fault := source.claim_fault()):
        raise UsageError(
            f"inbox {source.url}: two runners could take one manifest, because {fault}, or start just one "
            "runner, with --alone"
        )
    engine = environment.engine(settings, places.stores, timing)
    trigger = _open_trigger(settings, source, session, timing)
    box = Inbox(source, timing, warn=session.warn)
    return Watch(box, engine, places.outbox, places.stores, settings.allow, trigger, session)


def _open_trigger(settings: Settings, store: Store, session: Session, timing: Timing) -> Trigger:
    """A queue where one is named, or else file events where the store has them and the operator wants them.

    Raises `UsageError`, `StoreError`.
    """
    if settings.queue:
        if store.event_folder:
            raise UsageError(f"--queue goes with an s3:// inbox; {store.url} has file events")
        # boto3 takes long to import.
        from pipeline.inbox.sqs import QueueEvents

        return QueueEvents(settings.queue, store, session.wake, session.warn, timing)
    if store.event_folder and not settings.poll:
        return FolderEvents(store.event_folder, session.wake)
    return Trigger()
