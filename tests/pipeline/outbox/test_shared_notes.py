"""What shards of one manifest note for each other: the plan, and which pairs have failed."""

import pytest

from pipeline.errors import Problem, UsageError
from pipeline.manifest.shard import Shard
from pipeline.outbox.progress import Progress, progress
from pipeline.outbox.result_folder import ResultFolder
from pipeline.outbox.results import Found
from pipeline.outbox.shared_end import SharedEnd, State
from pipeline.outbox.shared_notes import Plan, SharedNotes
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import make_record, opened

IDS = ["p0", "p1"]


def plan(digest: str = "a", shards: int = 2) -> Plan:
    return Plan(digest=digest * 64, pairs=len(IDS), shards=shards, manifest="m.json")


def note(store: MemoryStore, noted: Plan, pair: str, message: str) -> None:
    problem = Problem(f"pairs[{pair}]", message, pair)
    SharedNotes(store, "m").note_end(
        noted, Shard(1, noted.shards), [problem], ResultFolder(store, "m", lambda: None)
    )


def failed(store: MemoryStore, current: Plan) -> dict[str, str]:
    """The messages of the pairs that have failed."""
    ends = SharedNotes(store, "m").ends(current, {})
    return {pair: problem.message for pair, problem in ends.failed.items()}


def missing(store: MemoryStore) -> list[int]:
    found = progress(store)["m"]
    assert isinstance(found, Progress)
    return found.missing


@pytest.mark.parametrize("earlier", [plan("b"), plan(shards=16)], ids=["other-pairs", "other-number"])
def test_failures_of_a_plan_that_was_replaced_do_not_count(earlier: Plan) -> None:
    store = MemoryStore("replaced-failures")
    notes = SharedNotes(store, "m")
    notes.join(earlier, IDS, replace=False)
    note(store, earlier, "p0", "failed before")
    note(store, earlier, "p1", "failed before")
    notes.join(plan(), IDS, replace=True)
    note(store, earlier, "p0", "failed late")
    assert failed(store, plan()) == {}
    assert missing(store) == [1, 2]
    note(store, plan(), "p1", "failed now")
    assert failed(store, plan()) == {"p1": "failed now"}
    assert missing(store) == [1]


def test_failures_do_not_count_again_when_an_earlier_plan_comes_back() -> None:
    store = MemoryStore("earlier-plan")
    notes = SharedNotes(store, "m")
    notes.join(plan(), IDS, replace=False)
    note(store, plan(), "p0", "failed at first")
    for current in (plan("b"), plan()):
        notes.join(current, IDS, replace=True)
    assert failed(store, plan()) == {}
    assert missing(store) == [1, 2]


def test_results_from_before_the_plan_count_once_their_shard_has_ended() -> None:
    store = MemoryStore("replaced-results")
    notes = SharedNotes(store, "m")

    def end(noted: Plan, number: int) -> State:
        return SharedEnd(store, "m", noted, IDS, Shard(number, 2), lambda: None).end([], True)

    for current in (plan("b"), plan()):
        notes.join(current, IDS, replace=True)
        for pair in IDS[: 2 if current == plan("b") else 1]:
            record = make_record(pair=pair, picture=f"{pair}.png")
            opened(store, IDS).put(record, b"picture", b"log", {}, Found())
    assert missing(store) == [2]  # of the other parameters
    assert end(plan(), 1) == State(left=1, failed=0)
    assert store.tag("m/index.html") is None
    assert end(plan(), 2) == State(left=0, failed=0)
    assert missing(store) == []
    assert store.tag("m/index.html")


def test_of_two_plans_that_are_noted_at_the_same_moment_one_counts() -> None:
    def come_first(verb: str, key: str) -> None:
        if (verb, key) == ("replace", "m/.shards/plan.json"):
            store.before = lambda verb, key: None
            SharedNotes(store, "m").join(plan("b"), IDS, replace=False)

    store = MemoryStore("same-moment-plans")
    store.before = come_first
    with pytest.raises(UsageError, match="shards of something else have begun there"):
        SharedNotes(store, "m").join(plan(), IDS, replace=False)
    assert SharedNotes(store, "m").plan() == plan("b")


def test_a_plan_of_no_shards_is_damaged() -> None:
    store = MemoryStore("no-shards")
    SharedNotes(store, "m").join(plan(), IDS, replace=False)
    text = plan().model_dump_json().replace('"shards":2', '"shards":0')
    store.write("m/.shards/plan.json", text.encode())
    assert "plan.json: is damaged" in str(progress(store)["m"])


def test_folders_of_the_file_system_have_no_shards() -> None:
    store = MemoryStore("top-of-a-volume")
    store.write("lost+found/.shards/plan.json", b"not readable")
    assert progress(store) == {}
