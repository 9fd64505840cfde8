"""In which state a manifest is, from the stores alone."""

from collections.abc import Mapping
from typing import Literal

from pipeline.errors import NotFoundError, Problem
from pipeline.inbox.error_file import read_errors
from pipeline.inbox.layout import (
    DONE,
    FAILED,
    PROCESSING,
    done_key,
    failed_key,
    manifest_name,
    processing_key,
    waiting_key,
)
from pipeline.server.names import can_be_given
from pipeline.server.problems import RefusedError
from pipeline.stores.base import Store

State = Literal["waiting", "processing", "done", "failed"]
FOLDERS: dict[State, str] = {"waiting": "", "processing": PROCESSING, "done": DONE, "failed": FAILED}


def state_of(inbox: Store, name: str) -> State | None:
    """The state of a manifest; none if there is none of this name. Raises `StoreError`.

    Where another manifest of the name waits, it is the state of the one that is worked on.
    """
    for _ in range(2):  # twice, because one that is handed back moves against the order of the checks
        # In the order in which a manifest moves: what moves on between two checks is found by a later one.
        waits = inbox.entry(waiting_key(name)) is not None
        if inbox.entry(processing_key(name)) is not None:
            return "processing"
        if waits:
            return "waiting"
        # What is done now has no file in failed/ any more, but what has failed now may have been done once.
        if inbox.entry(failed_key(name)) is not None:
            return "failed"
        if inbox.entry(done_key(name)) is not None:
            return "done"
    return None


Times = Mapping[State, Mapping[str, float]]  # as `times_by_state` returns them


def found_state(inbox: Store, name: str) -> State:
    """The state of a manifest. Raises `RefusedError` if there is none of this name, and `StoreError`."""
    state = state_of(inbox, name)
    if state is None and waiting_file(inbox, name):
        return "waiting"
    if state is None:
        raise RefusedError(404, "there is no manifest of this name")
    return state


def waiting_file(inbox: Store, name: str) -> str | None:
    """The key of a manifest that waits whose suffix has another letter case, such as `NAME.JSON`."""
    keys = (entry.name for entry in inbox.entries(""))
    return next((key for key in keys if manifest_name(key) == name and key != waiting_key(name)), None)


def times_by_state(inbox: Store) -> Times:
    """The names of all manifests, sorted, by the state that they are in. Raises `StoreError`.

    With each name, when it came into this state, in seconds since the epoch. Names that no client can give
    are left out.
    """
    listed = {state: inbox.entries(folder) for state, folder in FOLDERS.items()}
    named = {state: [(manifest_name(e.name), e.placed) for e in found] for state, found in listed.items()}
    return {
        state: dict(sorted((name, placed) for name, placed in found if name and can_be_given(name)))
        for state, found in named.items()
    }


def why_failed(inbox: Store, name: str) -> list[Problem]:
    """Why a manifest has failed; nothing if it has not. Raises `StoreError`.

    The error file is written before a manifest is moved to `failed/`. It may be left of an earlier failure,
    and somebody may have deleted it.
    """
    problems = errors_of(inbox, name)
    if not problems and inbox.entry(failed_key(name)) is None:
        return []
    if state_of(inbox, name) != "failed":
        return []
    missing = "has failed, and its error file is missing; retry the manifest to see what is wrong"
    return problems or errors_of(inbox, name) or [Problem("", missing)]


def errors_of(inbox: Store, name: str) -> list[Problem]:
    """What the error file of a failed manifest says; nothing if there is none. Raises `StoreError`."""
    try:
        return read_errors(inbox, name)
    except NotFoundError:
        return []
