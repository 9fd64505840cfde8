"""Measures the time of the whole pipeline for an inbox."""

import time
from collections.abc import Callable

from nst import Stylizer
from pipeline.engines.local import LocalEngine
from pipeline.engines.stylizer import make_stylizer
from pipeline.events.listener import Listener
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores
from pipeline.work.session import Session
from pipeline.work.watch import Watch


def seconds_for(
    inbox: Store,
    outbox: Store,
    listener: Listener,
    device: str = "cpu",
    stores: Stores | None = None,
    make: Callable[[Settings], Stylizer] = make_stylizer,
) -> float:
    """Process all manifests in an inbox; the seconds, start-up included. All of them must succeed.

    `make` makes the stylizer. `stores` opens inbox and outbox by their URLs.
    """
    stores = stores or Stores()
    engine = LocalEngine(Settings(device=device), stores, make=make)
    session, box = Session(listener), Inbox(inbox)
    began = time.perf_counter()
    code = Watch(box, engine, Outbox(outbox), stores, [], Trigger(), session).run(once=True, schedule=None)
    seconds = time.perf_counter() - began
    assert code == 0
    return seconds
