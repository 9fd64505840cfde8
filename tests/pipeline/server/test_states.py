"""In which state a manifest is, from the stores alone."""

import pytest

from pipeline.errors import Problem
from pipeline.inbox.error_file import error_file
from pipeline.inbox.layout import done_key, error_key, failed_key, processing_key, waiting_key
from pipeline.server.states import State, state_of, why_failed
from pipeline.stores.memory import MemoryStore

KEYS = {"waiting": waiting_key, "processing": processing_key, "done": done_key, "failed": failed_key}


@pytest.mark.parametrize("state", KEYS)
def test_the_state_of_a_manifest_is_found_without_reading_it(state: State) -> None:
    inbox = MemoryStore("inbox")
    inbox.write(KEYS[state]("a"), b"{}")
    inbox.calls.clear()
    assert state_of(inbox, "a") == state
    assert why_failed(inbox, "b") == []
    # In a folder, a tag is a digest of the whole file.
    assert not {"tag", "fetch", "part"} & {verb for verb, _ in inbox.calls}
    assert {key for verb, key in inbox.calls if verb == "read"} == {error_key("b")}


@pytest.mark.parametrize("damaged", [b"{", b"[]", b'{"errors": 1}', b'{"errors": []}'])
def test_a_damaged_error_file_is_reported_as_one(damaged: bytes) -> None:
    inbox = MemoryStore("inbox")
    for text in (damaged, error_file(inbox, "a", [Problem("pairs[0]", "is wrong")])):
        inbox.write(error_key("a"), text)
        inbox.write(failed_key("a"), b"{}")
        [problem] = why_failed(inbox, "a")
        assert str(problem).startswith("pairs" if text != damaged else "the error file is damaged; retry")
