"""Manifests: they are uploaded, cancelled and retried."""

import secrets
from functools import partial
from typing import BinaryIO, Literal
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pipeline.errors import (
    MOST_PROBLEMS,
    ConflictError,
    ManifestError,
    NotFoundError,
    Problem,
    StoreError,
    UsageError,
)
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.layout import as_argument, processing_key, waiting_key
from pipeline.manifest.document import MAX_BYTES
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair
from pipeline.manifest.reading import parse
from pipeline.server.documented import Responses, refusals
from pipeline.server.door import Door, door_of
from pipeline.server.names import known_name, new_name
from pipeline.server.problems import Fault, RefusedError, faults
from pipeline.server.states import State, errors_of, found_state
from pipeline.server.uploads import media_type

router = APIRouter(tags=["manifests"])

_MOST_ERRORS = MOST_PROBLEMS + 1  # in one answer: all that a manifest which was refused can have
_DOCUMENT = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}
}


class ManifestState(BaseModel):
    """A manifest, and how far the work on it has come."""

    name: str
    state: State
    pairs: int | None = Field(None, description="How many pairs it has, while it is known.")
    done: int | None = Field(None, description="How many of them have a result, while it is worked on.")
    failed: int | None = Field(None, description="How many of them have failed, if this process works on it.")
    results: str = Field(description="Where its results are.")
    errors: list[Fault] = Field(
        [],
        description="Why it has failed: some of the errors, those of the whole manifest first.",
    )
    error_count: int = Field(
        0, description="How many errors it has. The list of its pairs has all of theirs."
    )


_CREATED = {
    "description": "The manifest waits.",
    "model": ManifestState,
    "headers": {"Location": {"schema": {"type": "string"}, "description": "Where its state is."}},
}
_ANSWERS: Responses = {201: _CREATED, **refusals(409, 415)}


@router.post("/manifests", status_code=201, openapi_extra=_DOCUMENT, responses=_ANSWERS)
async def post_manifest(request: Request) -> JSONResponse:
    """Put a manifest into the inbox under a new name."""
    return await _put(request, f"manifest-{secrets.token_hex(8)}")


@router.put("/manifests/{name}", status_code=201, openapi_extra=_DOCUMENT, responses=_ANSWERS)
async def put_manifest(request: Request, name: str) -> JSONResponse:
    """Put a manifest into the inbox, unless one of this name waits already."""
    return await _put(request, new_name(name))


@router.get("/manifests/{name}", responses=refusals(404))
async def manifest(request: Request, name: str) -> ManifestState:
    """The state of a manifest."""
    return await _state(door_of(request), known_name(name))


@router.delete("/manifests/{name}", responses=refusals(404, 409))
async def cancel(request: Request, name: str) -> ManifestState:
    """End a manifest that waits or is worked on. Pairs that are done stay."""
    return await _act(request, known_name(name), "cancel", ("waiting", "processing"))


@router.post("/manifests/{name}/retry", responses=refusals(404, 409))
async def retry(request: Request, name: str) -> ManifestState:
    """Put a failed manifest back into the inbox. Pairs that are done are not computed again."""
    answer = await _act(request, known_name(name), "retry", ("failed",))
    door_of(request).session.announce()
    return answer


async def _put(request: Request, name: str) -> JSONResponse:
    door = door_of(request)
    if media_type(request) != "application/json":
        raise RefusedError(415, "send the manifest as application/json")
    async with door.uploads.received(request) as body:
        await door.take_in(partial(_take_in, door, name, body))
    door.listed.forget()
    door.session.announce()
    state = ManifestState(name=name, state="waiting", results=_results(name))
    return JSONResponse(state.model_dump(), 201, {"Location": f"/manifests/{quote(name, safe='')}"})


def _take_in(door: Door, name: str, body: BinaryIO) -> None:
    door.backlog.check(request=False)
    data = body.read(MAX_BYTES + 1)  # `parse` refuses what is larger
    _validate(door, data)
    with door.taking.alone(name):
        try:
            door.inbox.replace(waiting_key(name), data, None)
        except ConflictError:
            raise RefusedError(409, f"{name}: a manifest of this name waits already") from None
    door.backlog.add(request=False)


def _validate(door: Door, data: bytes) -> None:
    """Raises `ManifestError` with each problem that shows without reading the images."""
    pairs = expand(parse(data), door.sources.search(), door.settings.caps)
    if problems := [problem for pair in pairs for problem in _misplaced(door, pair)]:
        raise ManifestError(problems)


def _misplaced(door: Door, pair: Pair) -> list[Problem]:
    found = []
    for reference in pair.images:
        try:
            door.sources.locate(reference)
        except StoreError as error:
            found.append(Problem(pair.place, str(error), pair.id))
    return found


async def _act(
    request: Request, name: str, action: Literal["cancel", "retry"], states: tuple[State, ...]
) -> ManifestState:
    door = door_of(request)

    def act() -> None:
        state = found_state(door.inbox, name)
        if state not in states:
            raise RefusedError(409, f"{name}: is {state}, so that it can't be {_DONE_TO[action]}")
        # One inbox for each action: it remembers what it has listed.
        box = Inbox(door.inbox, door.session.timing)
        try:
            (box.cancel if action == "cancel" else box.retry)(as_argument(name))
        except UsageError as error:  # somebody has moved it meanwhile
            raise RefusedError(409, str(error)) from None

    await door.read(act)
    door.listed.forget()
    return await _state(door, name)


_DONE_TO = {"cancel": "cancelled", "retry": "retried"}


async def _state(door: Door, name: str) -> ManifestState:
    return await door.read(partial(_seen, door, name))


def _seen(door: Door, name: str) -> ManifestState:
    state = found_state(door.inbox, name)
    found = ManifestState(name=name, state=state, results=_results(name))
    if state == "failed":
        problems = errors_of(door.inbox, name)
        first = sorted(problems, key=lambda problem: problem.id is not None)[:_MOST_ERRORS]
        found.errors, found.error_count = faults(first), len(problems)
    elif state == "processing" and (counts := door.hub.counts(name)):
        found.pairs, found.done, found.failed = counts.pairs, counts.done, counts.failed
    elif state == "processing":
        results, ids = door.folders.results(name), _listed_ids(door, name)
        if ids is None:
            found.done = len(results)
        else:  # the folder may have results of pairs that the manifest does not have any more
            found.pairs, found.done = len(ids), sum(pair in results for pair in ids)
    return found


def _results(name: str) -> str:
    return f"/results/{quote(name, safe='')}/"


def _listed_ids(door: Door, name: str) -> list[str] | None:
    """The ids of the pairs of a manifest that another process works on; none if it has patterns."""
    try:
        data = door.inbox.read(processing_key(name), MAX_BYTES)
        if parse(data).product:
            return None
    except (NotFoundError, ManifestError):
        return None
    return door.expanded.ids(data) or None
