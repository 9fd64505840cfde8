"""From settings to the trigger of an inbox."""

import threading
from collections.abc import Callable

from pipeline.errors import UsageError
from pipeline.inbox.triggers import FolderEvents, Trigger
from pipeline.settings import Settings
from pipeline.stores.base import Store
from pipeline.timing import Timing


def open_trigger(
    settings: Settings, store: Store, wake: threading.Event, warn: Callable[[str], None], timing: Timing
) -> Trigger:
    """A queue where one is named, or else file events where the store has them and the operator wants them.

    `warn` is called with what a person should know of the queue. Raises `UsageError`, `StoreError`.
    """
    if settings.queue:
        if store.event_folder:
            raise UsageError(f"--queue goes with an s3:// inbox; {store.url} has file events")
        # boto3 takes long to import.
        from pipeline.inbox.sqs import QueueEvents

        return QueueEvents(settings.queue, store, wake, warn, timing)
    if store.event_folder and not settings.poll:
        return FolderEvents(store.event_folder, wake)
    return Trigger()
