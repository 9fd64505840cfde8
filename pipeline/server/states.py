"""In which state a manifest is, from the stores alone."""

import json
from collections.abc import Callable
from typing import Literal

from pipeline.errors import NotFoundError, Problem
from pipeline.inbox.layout import done_key, error_key, failed_key, processing_key, waiting_key
from pipeline.manifest.reading import MAX_BYTES
from pipeline.stores.base import Store

State = Literal["waiting", "processing", "done", "failed"]

# In the order in which a manifest moves: what moves on between two of the checks is found by a later one.
# What has failed after it was done before lies in both folders, and what is done after it failed only in one.
_PLACES: dict[State, Callable[[str], str]] = {
    "waiting": waiting_key,
    "processing": processing_key,
    "failed": failed_key,
    "done": done_key,
}


def state_of(inbox: Store, name: str) -> State | None:
    """The state of a manifest; none if there is none of this name. Raises `StoreError`."""
    for _ in range(2):  # twice, because one that is handed back moves against the order of the checks
        for state, key in _PLACES.items():
            if inbox.tag(key(name)) is not None:
                return state
    return None


def errors_of(inbox: Store, name: str) -> list[Problem]:
    """What the error file of a failed manifest says; nothing if there is none. Raises `StoreError`."""
    try:
        text = inbox.read(error_key(name), MAX_BYTES)
    except NotFoundError:
        return []
    try:
        found = json.loads(text)["errors"]
        return [Problem(str(e.get("place", "")), str(e["message"]), e.get("id")) for e in found]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return [Problem("", "the error file is damaged; retry the manifest to see what is wrong")]
