"""The end of a shard: one that finds every pair settled writes the page."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import ClaimLostError, Problem
from pipeline.manifest.shard import Shard
from pipeline.outbox.results import Found
from pipeline.outbox.shared_end import SharedEnd, State
from pipeline.outbox.shared_notes import Plan, SharedNotes
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import make_record, opened


def test_of_two_shards_that_end_at_the_same_moment_one_writes_the_page() -> None:
    store, ids = MemoryStore("same-moment"), ["p0", "p1", "p2"]
    plan = Plan(digest="d" * 64, pairs=3, shards=2, manifest="m.json")
    SharedNotes(store, "m").join(plan, ids, replace=False)
    for pair in ids[:2]:
        record = make_record(pair=pair, picture=f"{pair}.png")
        opened(store, ids).put(record, b"picture", b"log", {}, Found())
    together, listing = threading.Barrier(2), set[int]()

    def before(verb: str, key: str) -> None:
        if (verb, key) == ("entries", "m") and threading.get_ident() not in listing:
            listing.add(threading.get_ident())
            together.wait(30)  # neither sees what is there before both have written everything

    def end(number: int, problems: list[Problem]) -> State:
        shared = SharedEnd(store, "m", plan, ids, Shard(number, 2), lambda: None)
        return shared.end(problems, True)

    store.before = before
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(end, 1, [Problem("pairs[2]", "gone.png: no such file", "p2")])
        second = pool.submit(end, 2, [])
    assert State(0, 1) in (first.result(), second.result())
    page = store.read("m/index.html", 10**7).decode()
    assert all(text in page for text in ("p0.png", "p1.png", "gone.png: no such file"))


def test_a_shard_of_a_plan_that_was_replaced_writes_no_page() -> None:
    store, ids = MemoryStore("replaced"), ["p0"]
    plans = [Plan(digest=digest * 64, pairs=1, shards=1, manifest="m.json") for digest in "ab"]
    record = make_record(pair="p0", picture="p0.png")
    opened(store, ids).put(record, b"picture", b"log", {}, Found())
    for plan in plans:
        SharedNotes(store, "m").join(plan, ids, replace=True)
    with pytest.raises(ClaimLostError, match="shards of something else have begun there"):
        SharedEnd(store, "m", plans[0], ids, Shard(1, 1), lambda: None).end([], True)
    assert store.tag("m/index.html") is None
    SharedEnd(store, "m", plans[1], ids, Shard(1, 1), lambda: None).end([], True)
    assert store.tag("m/index.html")
