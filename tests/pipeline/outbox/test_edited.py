"""A picture that was changed after its record was written is kept under another name."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import StoreError, UnavailableError
from pipeline.outbox.results import Found
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.timing import Timing
from tests.pipeline.outbox.made import LIMIT, is_done, make_record, opened, publish


@pytest.fixture
def store() -> MemoryStore:
    store = MemoryStore("outbox")
    publish(store)
    store.write("m/p.png", b"edited by hand")
    return store


def test_an_edited_picture_is_kept_and_reported(store: MemoryStore) -> None:
    warnings: list[str] = []
    publish(store, warn=warnings.append)
    assert store.read("m/p.edited.png", LIMIT) == b"edited by hand"
    assert store.read("m/p.png", LIMIT) == b"picture"
    assert is_done(store)
    assert warnings == [
        "memory://outbox/m/p.png: was changed after its record was written; it is kept as p.edited.png, and "
        "the pair is computed again"
    ]


def test_an_edited_picture_is_kept_in_its_own_format_if_the_new_one_has_another(store: MemoryStore) -> None:
    publish(store, "d2", "p.webp")
    assert store.read("m/p.edited.png", LIMIT) == b"edited by hand"
    assert is_done(store, "d2")


def test_each_edited_picture_gets_a_free_name(store: MemoryStore) -> None:
    publish(store)
    store.write("m/p.png", b"edited again")
    publish(store)
    assert store.read("m/p.edited.png", LIMIT) == b"edited by hand"
    assert store.read("m/p.edited-2.png", LIMIT) == b"edited again"


def test_a_name_that_belongs_to_another_pair_is_not_used(store: MemoryStore) -> None:
    results = opened(store, ["p", "P.Edited"])
    results.put(make_record(), b"picture", b"log", {}, results.find("p"))
    assert store.tag("m/p.edited.png") is None
    assert store.read("m/p.edited-2.png", LIMIT) == b"edited by hand"


def test_an_edited_picture_that_is_too_large_fails_the_pair_and_stays(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.outbox.edited._LARGEST", 10)
    with pytest.raises(
        StoreError, match=r"outbox/m/p\.png: has .* it can't be kept; .*; move it away"
    ) as found:
        publish(store, "d2")
    assert not isinstance(found.value, UnavailableError)  # which would be waited for
    assert store.read("m/p.png", LIMIT) == b"edited by hand"


def test_a_retry_keeps_the_edited_picture_once_and_not_the_new_one(store: MemoryStore) -> None:
    def fail_once(verb: str, key: str) -> None:
        if (verb, key) == ("replace", "m/p.json"):
            store.before = lambda verb, key: None
            raise StoreError("outbox: access is denied")

    warnings: list[str] = []
    results = opened(store, warn=warnings.append)
    found = results.find("p")
    store.before = fail_once
    with pytest.raises(UnavailableError):
        results.put(make_record(), b"picture", b"log", {}, found)
    results.put(make_record(), b"picture", b"log", {}, found)
    assert list(store.glob("m/*.png")) == ["m/p.edited.png", "m/p.png"]
    assert len(warnings) == 1
    assert is_done(store)


def test_a_picture_without_a_record_is_left_by_a_dead_runner_and_is_not_kept(store: MemoryStore) -> None:
    store.remove("m/p.json")
    publish(store)
    assert store.tag("m/p.edited.png") is None


def test_a_picture_that_is_edited_after_it_was_listed_is_kept(store: MemoryStore) -> None:
    results = opened(store)  # lists
    store.write("m/p.png", b"edited later")
    found = replace(
        results.find("p"), edited=False, whole=True
    )  # as if the listing had the tag of the record
    results.put(make_record("d2"), b"new", b"log", {}, found)
    assert store.read("m/p.edited.png", LIMIT) == b"edited later"
    assert is_done(store, "d2")


def test_a_record_that_is_deleted_after_it_was_listed_counts_as_none(store: MemoryStore) -> None:
    results = opened(store, timing=Timing(listing=0.0))
    store.remove("m/p.json")
    assert results.find("p") == Found()


def test_a_picture_that_is_edited_after_it_was_listed_is_kept_in_spite_of_a_fault(store: MemoryStore) -> None:
    results = opened(store)  # lists
    store.write("m/p.png", b"edited later")
    found = replace(results.find("p"), edited=False, whole=True)

    def fail_once(verb: str, key: str) -> None:
        if (verb, key) == ("replace", "m/p.edited.png"):
            store.before = lambda verb, key: None
            raise UnavailableError("the disk is full")

    store.before = fail_once
    with pytest.raises(UnavailableError):
        results.put(make_record("d2"), b"new", b"log", {}, found)
    results.put(make_record("d2"), b"new", b"log", {}, found)
    assert store.read("m/p.edited.png", LIMIT) == b"edited later"
    assert store.read("m/p.png", LIMIT) == b"new"


def test_results_that_were_copied_to_another_store_are_done_there(tmp_path: Path) -> None:
    folder, bucket = FolderStore(tmp_path), MemoryStore("outbox")
    publish(folder)
    for path in tmp_path.glob("m/*.*"):
        bucket.write(f"m/{path.name}", path.read_bytes())
    assert is_done(bucket)
    publish(bucket, "d2", data=b"new")
    assert bucket.tag("m/p.edited.png") is None

    publish(bucket, "d2", data=b"new")
    bucket.write("m/p.png", b"edited by hand")
    assert not is_done(bucket, "d2")
