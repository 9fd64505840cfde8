"""The whole pipeline at work on an inbox, by the clock."""

import time

from pipeline.engines.local import LocalEngine
from pipeline.events.listener import Listener
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores


def seconds_for(
    inbox: Store, outbox: Store, listener: Listener, device: str = "cpu", stores: Stores | None = None
) -> float:
    """Work off what is in an inbox, all of which has to succeed; the seconds, start-up included."""
    engine = LocalEngine(Settings(device=device), stores or Stores(), Outbox(outbox), listener)
    began = time.perf_counter()
    code = engine.watch(inbox, once=True, schedule=None)
    seconds = time.perf_counter() - began
    assert code == 0
    return seconds
