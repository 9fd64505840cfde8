"""From settings to a runner, for `watch` and `serve`."""

from dataclasses import dataclass

from pipeline.environment import Environment
from pipeline.errors import UsageError
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.opening import open_trigger
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings, needed
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores
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
    if not settings.alone and not source.exclusive():
        raise UsageError(
            f"inbox {source.url}: the server ignores conditional writes, so that two runners could take one "
            "manifest; start just one, with --alone"
        )
    engine = environment.engine(settings, places.stores, timing)
    trigger = open_trigger(settings, source, session.wake, session.warn, timing)
    box = Inbox(source, timing, warn=session.warn)
    return Watch(box, engine, places.outbox, places.stores, settings.allow, trigger, session)
