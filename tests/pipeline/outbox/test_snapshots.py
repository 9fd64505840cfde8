"""Snapshots beside a result: their order among its files, those of an earlier result, and their record."""

import json

import pytest

from pipeline.errors import ClaimLostError, StoreError, UnavailableError
from pipeline.outbox.outbox import Outbox
from pipeline.outbox.record import read_record
from pipeline.stores.base import Store
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import LIMIT, THUMBNAILS, is_done, make_record, opened, publish
from tests.pipeline.outbox.test_outbox import changes


def snapshots(store: Store) -> list[str]:
    return [entry.name for entry in store.entries("m/p.snapshots")]


def fail_once(store: MemoryStore, verb: str, key: str) -> None:
    """Let the next call of this verb with this key fail."""

    def before(called: str, on: str) -> None:
        if (called, on) == (verb, key):
            store.before = lambda verb, key: None
            raise StoreError("outbox: access is denied")

    store.before = before


def test_snapshots_are_written_after_the_picture_and_before_the_record(memory: MemoryStore) -> None:
    publish(memory, snapshots=2)
    assert changes(memory)[1:] == [
        "replace m/p.loss.jsonl",
        "replace m/p.png",
        "replace m/p.snapshots/01.jpg",
        "replace m/p.snapshots/02.jpg",
        "replace m/p.snapshots/animation.webp",
        "replace m/p.json",
    ]


def test_snapshots_cost_one_listing_and_one_request_for_each_file(memory: MemoryStore) -> None:
    for _ in range(2):
        memory.calls.clear()
        publish(memory, snapshots=12)
        calls = [call for call in memory.calls if ".snapshots" in call[1]]
        assert calls[0] == ("entries", "m/p.snapshots")
        assert [verb for verb, _ in calls[1:]] == ["replace"] * 13


def test_a_pair_without_snapshots_costs_no_request_for_them(memory: MemoryStore) -> None:
    for _ in range(2):
        publish(memory)
    assert not [call for call in memory.calls if ".snapshots" in call[1]]


@pytest.mark.parametrize("writes", range(8))
def test_nothing_more_is_written_after_the_claim_is_lost(memory: MemoryStore, writes: int) -> None:
    def confirm() -> None:
        if len(changes(memory)) == writes:
            raise ClaimLostError("another runner has taken over")

    with pytest.raises(ClaimLostError):
        publish(memory, confirm=confirm, snapshots=3)
    assert len(changes(memory)) == writes
    assert Outbox(memory).record("m", "p") is None


@pytest.mark.parametrize("deleted", range(6))
def test_no_snapshot_is_deleted_after_the_claim_is_lost(memory: MemoryStore, deleted: int) -> None:
    def confirm() -> None:
        if changes(memory).count("remove m/p.json") or len(snapshots(memory)) == 6 - deleted:
            raise ClaimLostError("another runner has taken over")

    publish(memory, snapshots=5)
    with pytest.raises(ClaimLostError):
        publish(memory, "d2", confirm=confirm)
    assert len(snapshots(memory)) == 6 - deleted


@pytest.mark.parametrize("count", [0, 2, 5])
def test_a_later_result_with_fewer_snapshots_leaves_no_files_of_the_earlier_one(
    store: Store, count: int
) -> None:
    publish(store, snapshots=5)
    publish(store, "d2", snapshots=count)
    names = [f"{number:02}.jpg" for number in range(1, count + 1)]
    assert snapshots(store) == ([*names, "animation.webp"] if count else [])
    assert is_done(store, "d2")


def test_snapshots_of_a_dead_runner_are_deleted_although_no_record_names_them(store: Store) -> None:
    publish(store, snapshots=5)
    store.remove("m/p.json")
    publish(store, "d2", snapshots=2)
    assert snapshots(store) == ["01.jpg", "02.jpg", "animation.webp"]


def test_a_runner_that_dies_before_the_end_leaves_the_rest_to_the_next_one(memory: MemoryStore) -> None:
    publish(memory, snapshots=5)
    fail_once(memory, "remove", "m/p.json")
    with pytest.raises(UnavailableError):
        publish(memory, "d2")
    publish(memory, "d2")
    assert snapshots(memory) == []


def test_files_of_other_names_stay(store: Store) -> None:
    publish(store, snapshots=5)
    store.write("m/p.snapshots/mine.mp4", b"a film")
    publish(store, "d2")
    assert snapshots(store) == ["mine.mp4"]


def test_an_edited_picture_is_kept_beside_new_snapshots(store: Store) -> None:
    publish(store, snapshots=3)
    store.write("m/p.png", b"edited by hand")
    publish(store, "d2", data=b"new", snapshots=2)
    assert store.read("m/p.edited.png", LIMIT) == b"edited by hand"
    assert store.read("m/p.snapshots/01.jpg", LIMIT) == b"new"
    assert is_done(store, "d2")


def test_a_try_after_a_fault_writes_all_files(memory: MemoryStore) -> None:
    def put() -> None:
        results.put(make_record(), b"new", b"log", THUMBNAILS, found, files)

    results = opened(memory)
    found, files = results.find("p"), {f"p.snapshots/0{number}.jpg": b"new" for number in (1, 2)}
    fail_once(memory, "replace", "m/p.snapshots/02.jpg")
    with pytest.raises(UnavailableError):
        put()
    put()
    assert snapshots(memory) == ["01.jpg", "02.jpg"]
    assert is_done(memory)


def test_a_result_stays_whole_if_somebody_deletes_its_snapshots(store: Store) -> None:
    publish(store, snapshots=2)
    for name in snapshots(store):
        store.remove(f"m/p.snapshots/{name}")
    assert is_done(store)


def test_the_record_names_the_snapshots(memory: MemoryStore) -> None:
    publish(memory, snapshots=2)
    written = json.loads(memory.read("m/p.json", LIMIT))
    assert written["snapshots"] == {
        "animation": "p.snapshots/animation.webp",
        "pictures": ["p.snapshots/01.jpg", "p.snapshots/02.jpg"],
        "steps": [1, 2],
    }


def test_a_record_without_snapshots_does_not_mention_them() -> None:
    text = make_record().model_dump_json(indent=1)
    assert "snapshots" not in text
    reading = read_record(text.encode())
    assert reading.record and reading.record.snapshots is None and not reading.newer


def test_patterns_skip_snapshots(memory: MemoryStore) -> None:
    publish(memory, snapshots=2)
    keys = memory.glob("**/*.jpg") + memory.glob("**/*.webp")
    absolute = [memory.absolute(key) for key in keys]
    assert len(absolute) == 4
    assert Outbox(memory).results_among(absolute) == set(absolute)
    assert Outbox(memory).results_among([memory.absolute("m/p.snapshots/mine.mp4")]) == set()


def test_files_that_are_known_by_their_names_cost_patterns_no_listing(memory: MemoryStore) -> None:
    snapshots = [memory.absolute(f"m/p{number}.snapshots/01.jpg") for number in range(100)]
    thumbnail = memory.absolute(f"m/{next(iter(THUMBNAILS))}")
    assert Outbox(memory).results_among([*snapshots, thumbnail]) == {*snapshots, thumbnail}
    assert memory.calls == []
