"""Records that are damaged, and records of a newer version of the program."""

import json
import math
from typing import Any

import pytest

from pipeline.outbox.record import FORMAT, DeliveredLosses, Record, read_record
from pipeline.outbox.results import Found
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import LIMIT, is_done, make_record, opened, publish


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("outbox")


def rewrite(store: MemoryStore, **changes: Any) -> None:
    """Change keys of the record; a dictionary adds keys to the one that is there."""
    found = json.loads(store.read("m/p.json", LIMIT))
    for key, value in changes.items():
        found[key] = {**found[key], **value} if isinstance(value, dict) and key in found else value
    store.write("m/p.json", json.dumps(found).encode())


def look_up(store: MemoryStore) -> tuple[Found, list[str]]:
    warnings: list[str] = []
    return opened(store, warn=warnings.append).find("p"), warnings


def test_a_record_has_a_format_number_and_one_without_counts_as_the_first(store: MemoryStore) -> None:
    publish(store)
    written = json.loads(store.read("m/p.json", LIMIT))
    assert written.pop("format") == FORMAT == 1
    store.write("m/p.json", json.dumps(written).encode())
    assert is_done(store)
    assert look_up(store)[0].refusal == ""


@pytest.mark.parametrize(
    "changes",
    [{"format": 2}, {"parameters": {"brush": 3}}, {"something": [1]}, {"format": 2, "losses": {"new": 1.0}}],
)
def test_a_newer_result_of_the_same_inputs_is_whole_and_must_not_be_replaced(
    store: MemoryStore, changes: dict[str, Any]
) -> None:
    publish(store)
    rewrite(store, **changes)
    found, warnings = look_up(store)
    assert found.whole and found.record and found.record.input_digest == "d1"
    assert found.refusal == (
        "memory://outbox/m/p.json: a newer version of this program wrote it, for other inputs or parameters; "
        "use that version, or remove this file"
    )
    assert warnings == []


@pytest.mark.parametrize(
    "changes", [{"parameters": {"init": "sketch", "brush": 3}}, {"format": 2, "width": "w"}]
)
def test_a_newer_record_that_cannot_be_understood_must_not_be_replaced(
    store: MemoryStore, changes: dict[str, Any]
) -> None:
    publish(store)
    rewrite(store, **changes)
    found, _ = look_up(store)
    assert found.record is None and not found.whole
    assert found.refusal


@pytest.mark.parametrize("text", [b'{"id": "p"', b"", b"\xff\xfe", b"[1, 2]", b'{"id": "p"}', b"[" * 10**5])
def test_a_damaged_record_is_reported_and_counts_as_none(store: MemoryStore, text: bytes) -> None:
    publish(store)
    store.write("m/p.json", text)
    found, warnings = look_up(store)
    assert found == Found()
    assert warnings == ["memory://outbox/m/p.json: damaged; the pair is computed again"]
    publish(store)
    assert is_done(store)


def test_a_record_of_another_pair_counts_as_damaged(store: MemoryStore) -> None:
    publish(store)
    rewrite(store, id="q")
    assert look_up(store)[0] == Found()


def test_a_record_that_is_far_too_long_counts_as_damaged(store: MemoryStore) -> None:
    store.write("m/p.json", b" " * 2**21)
    found, warnings = look_up(store)
    assert found == Found() and len(warnings) == 1


def test_a_record_that_has_grown_far_too_long_since_the_listing_counts_as_damaged(store: MemoryStore) -> None:
    publish(store)
    results = opened(store)
    store.write("m/p.json", b" " * 2**21)
    assert results.find("p") == Found()


def test_a_record_with_a_loss_that_is_no_number_is_not_damaged(store: MemoryStore) -> None:
    results = opened(store)
    losses = DeliveredLosses(content=math.inf, style=1, tv=0, total=math.nan)
    record = make_record().model_copy(update={"curve": [(1, math.inf), (2, 3.0)], "losses": losses})
    results.put(record, b"picture", b"log", {}, results.find("p"))
    found, warnings = look_up(store)
    assert found.whole and warnings == []


def test_unknown_parameters_are_left_out_of_the_record() -> None:
    text = json.loads(make_record().model_dump_json())
    text["parameters"]["brush"] = 3
    reading = read_record(json.dumps(text).encode())
    assert reading.newer
    assert reading.record == Record.model_validate_json(make_record().model_dump_json())
