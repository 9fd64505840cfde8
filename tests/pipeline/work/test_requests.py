"""How many requests a runner sends for its pairs, where inbox and outbox are a bucket."""

import json
from collections import Counter
from typing import Any

import pytest

from pipeline.engines.fake import FakeEngine
from pipeline.events.listener import PairDone
from pipeline.events.recording import RecordingListener
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.pages import PAIRS
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work.session import Session
from pipeline.work.watch import Watch

COUNT = PAIRS + 20


def work(stores: Stores, inbox: Store, outbox: Store) -> list[bool]:
    """Work until no manifest is left; for each pair, whether it was computed."""
    listener = RecordingListener()
    session = Session(listener, Timing())
    watch = Watch(Inbox(inbox), FakeEngine(stores, batch=16), Outbox(outbox), stores, [], Trigger(), session)
    watch.run(once=True, schedule=None)
    return [event.computed for event in listener.of(PairDone)]


@pytest.mark.parametrize(("count", "most"), [(COUNT, 25), (40, 65)])
def test_a_new_pair_costs_at_most_eight_requests_and_pairs_that_are_done_cost_few(
    client: Any, count: int, most: int
) -> None:
    stores = Stores(client=client)
    inbox, outbox = stores.open("s3://bucket/in"), stores.open("s3://bucket/out")
    names = [f"images/{number % 40}.png" for number in range(count)]
    for name in {*names, "b.png"}:
        inbox.write(name, name.encode())
    pairs = [{"id": f"p{n}", "content": name, "style": "b.png", "seed": n} for n, name in enumerate(names)]
    inbox.write("m.json", json.dumps({"pairs": pairs}).encode())
    sent: Counter[str] = Counter()
    client.meta.events.register("before-call.s3", lambda model, **_: sent.update([model.name]))
    assert work(stores, inbox, outbox) == [True] * count
    assert sum(sent.values()) <= 8 * count, sent
    inbox.move("done/m.json", "m.json")
    sent.clear()
    assert work(stores, inbox, outbox) == [False] * count
    assert sum(sent.values()) <= most, sent
    assert sent["HeadObject"] <= 5  # none of a pair
