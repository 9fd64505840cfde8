"""The text of a lock or a lease, as this version, an earlier one and a newer one write it."""

import json

import pytest

from pipeline.stores.base import History
from pipeline.stores.holding import Holding

NOTED = History(crashes=1, pair="p", deaths=2, failed=("q",))


def test_a_text_is_read_as_it_was_written() -> None:
    written = Holding(owner="me", content="etag", stopped=True, history=NOTED)
    assert Holding.from_bytes(written.to_bytes()) == written
    assert written.format == 2


@pytest.mark.parametrize(("text", "crashes"), [(b"0", 0), (b"3", 3), (b"owner 9f86d081 1", 1), (b"o r 3", 3)])
def test_the_next_holder_counts_the_deaths_in_a_text_of_version_1(text: bytes, crashes: int) -> None:
    read = Holding.from_bytes(text)
    assert read.format == 1
    assert not read.free
    assert read.inherited("any content") == History(crashes=crashes)


def test_a_text_of_a_newer_version_keeps_its_history() -> None:
    fields = json.loads(Holding(owner="me", content="etag", history=NOTED).to_bytes())
    fields |= {"format": 3, "new": [1], "process": "a name", "history": fields["history"] | {"new": 2}}
    read = Holding.from_bytes(json.dumps(fields).encode())
    assert (read.owner, read.content, read.history) == ("me", "etag", NOTED)
    assert read.inherited("etag").crashes == NOTED.crashes + 1
    assert read.inherited("another") == History()


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[1]", b"\xff", b'{"owner": 1}', b"[" * 100_000, b"null", "²".encode()]
)
def test_a_damaged_text_is_that_of_a_holder_without_a_history(text: bytes) -> None:
    read = Holding.from_bytes(text)
    assert (read.owner, read.history, read.free) == ("", History(), False)
