"""The order in which a result is written, and when a result counts as whole."""

import pytest

from pipeline.errors import ClaimLostError
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import Store
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import LIMIT, THUMBNAILS, is_done, make_record, opened, publish

CHANGES = ("write", "replace", "remove", "move")


def changes(store: MemoryStore) -> list[str]:
    return [f"{verb} {key}" for verb, key in store.calls if verb in CHANGES]


def test_the_loss_log_is_written_first_and_the_record_last(memory: MemoryStore) -> None:
    publish(memory)
    assert changes(memory) == [
        "replace m/thumbs/0000000000000000.jpg",
        "replace m/p.loss.jsonl",
        "replace m/p.png",
        "replace m/p.json",
    ]


def test_the_old_picture_and_its_record_are_removed_before_the_new_picture_is_written(
    memory: MemoryStore,
) -> None:
    publish(memory)
    memory.calls.clear()
    publish(memory, "d2", "p.webp")
    assert changes(memory)[1:] == [
        "remove m/p.png",
        "remove m/p.json",
        "replace m/p.loss.jsonl",
        "replace m/p.webp",
        "replace m/p.json",
    ]


@pytest.mark.parametrize("writes", range(4))
def test_nothing_more_is_written_after_the_claim_is_lost(memory: MemoryStore, writes: int) -> None:
    def confirm() -> None:
        if len(changes(memory)) == writes:
            raise ClaimLostError("another runner has taken over")

    with pytest.raises(ClaimLostError):
        publish(memory, confirm=confirm)
    assert len(changes(memory)) == writes
    assert Outbox(memory).record("m", "p") is None


def test_a_result_is_current_only_for_the_same_digest(store: Store) -> None:
    assert not is_done(store)
    publish(store)
    assert is_done(store)
    assert not is_done(store, "d2")
    found = Outbox(store).record("m", "p")
    assert found and found.model_copy(update={"tags": {}, "digests": {}}) == make_record()


@pytest.mark.parametrize("name", ["p.png", "p.loss.jsonl"])
def test_a_result_is_incomplete_if_a_file_was_replaced(store: Store, name: str) -> None:
    publish(store)
    store.write(f"m/{name}", b"another content")
    assert not is_done(store)


@pytest.mark.parametrize("missing", ["p.png", "p.loss.jsonl", "p.json"])
def test_a_result_is_incomplete_if_one_of_its_files_is_missing(store: Store, missing: str) -> None:
    publish(store)
    store.remove(f"m/{missing}")
    assert not is_done(store)
    publish(store)
    assert is_done(store)


def test_a_size_in_place_of_a_tag_counts_while_the_size_is_the_same(memory: MemoryStore) -> None:
    kept = publish(memory)
    sizes = {name: str(len(memory.read(f"m/{name}", LIMIT))) for name in kept.record.tags}
    by_size = kept.record.model_copy(update={"tags": sizes})
    memory.write("m/p.json", by_size.model_dump_json().encode())
    assert is_done(memory)
    memory.write("m/p.png", b"a longer picture")
    assert not is_done(memory)


def test_a_result_in_another_format_takes_the_place_of_the_picture_and_its_thumbnail(store: Store) -> None:
    first, second = f"thumbs/{1:016}.jpg", f"thumbs/{2:016}.jpg"
    for digest, picture, shown in (
        ("d1", "p.tiff", first),
        ("d2", "p.tiff", second),
        ("d3", "p.png", None),
        ("d4", "p.tiff", first),
    ):
        publish(store, digest, picture, thumbnail=shown)
        assert is_done(store, digest)
        expected = {picture, shown, "p.json", "p.loss.jsonl", *THUMBNAILS} - {None}
        assert set(store.glob("m/**")) == {f"m/{name}" for name in expected}


@pytest.mark.parametrize("written", range(6))
def test_a_runner_that_dies_while_the_format_changes_leaves_no_earlier_picture(
    memory: MemoryStore, written: int
) -> None:
    class KilledError(Exception):
        pass

    publish(memory, "d1", "p.tiff", thumbnail=f"thumbs/{1:016}.jpg")
    memory.calls.clear()

    def kill(verb: str, key: str) -> None:
        if len(changes(memory)) > written:
            raise KilledError

    memory.before = kill
    with pytest.raises(KilledError):
        publish(memory, "d2")
    memory.before = lambda verb, key: None
    publish(memory, "d2")
    assert is_done(memory, "d2")
    expected = {"p.png", "p.json", "p.loss.jsonl", *THUMBNAILS}
    assert set(memory.glob("m/**")) == {f"m/{name}" for name in expected}


def test_a_result_of_the_same_bytes_keeps_its_thumbnail(memory: MemoryStore) -> None:
    shown = f"thumbs/{1:016}.jpg"
    for digest in ("d1", "d2"):
        publish(memory, digest, "p.tiff", thumbnail=shown)
    assert memory.tag(f"m/{shown}")


def test_a_pair_without_files_needs_no_request_but_the_listing(memory: MemoryStore) -> None:
    results = opened(memory, [f"p{n}" for n in range(100)])
    assert not any(results.find(f"p{n}").record for n in range(100))
    assert memory.calls == [("entries", "m")]


def test_edited_pictures_are_results_and_skipped_by_patterns(memory: MemoryStore) -> None:
    publish(memory)
    names = ["p.png", "p.edited.png", "p.edited-2.png", "p.tiff", "p.edited.tiff", "other.png"]
    absolute = {name: memory.absolute(f"m/{name}") for name in names}
    found = Outbox(memory).results_among(absolute.values())
    assert found == {absolute[name] for name in names[:5]}
