"""Requests for one picture: `POST /stylize`, and `/jobs/ID` for what has become of it."""

import math
import re
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Annotated, Literal

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from pipeline.errors import UnavailableError
from pipeline.inbox.layout import is_request
from pipeline.outbox.record import Record
from pipeline.server.documented import KNOWN, file, refusals
from pipeline.server.door import Door, door_of
from pipeline.server.files import file_response
from pipeline.server.form import form_schema, submission_of
from pipeline.server.hub import Outcome
from pipeline.server.outcomes import outcome_of
from pipeline.server.pictures import MEDIA_TYPES
from pipeline.server.problems import Fault, RefusedError, faults, problem_response, retry_later
from pipeline.server.states import state_of, why_failed
from pipeline.server.taking import PAIR

router = APIRouter(tags=["pictures"])

_AGAIN = 2  # seconds of `Retry-After`, for a job that has not ended
_WAIT = re.compile(r"wait=([0-9]{1,9})")
_LONGEST_KEY = 255  # characters

_HEADERS = {
    "Location": "Where the job is.",
    "NST-Loss-Content": "The content loss of the picture as it is saved.",
    "NST-Loss-Style": "Its style loss.",
    "NST-Loss-TV": "Its total variation.",
    "NST-Loss-Total": "The weighted sum of the three, which was minimised.",
    "NST-Evaluations": "How often the objective was evaluated.",
    "NST-Seconds": "The share of this picture in the time of its batch.",
}
_PICTURE = file("The picture.", MEDIA_TYPES.values(), _HEADERS)


class JobState(BaseModel):
    """A request for one picture, and what has become of it."""

    id: str
    state: Literal["waiting", "processing", "done", "failed"]
    manifest: str = Field(description="The manifest of the job.")
    picture: str | None = Field(None, description="The picture, when the job is done.")
    record: str | None = Field(None, description="Its record: parameters, losses, versions.")
    losses: dict[str, float] | None = Field(None, description="The delivered losses.")
    errors: list[Fault] = Field([], description="Why it has failed.")


_ACCEPTED = {
    "description": "The job is taken in; ask again.",
    "model": JobState,
    "headers": {
        "Location": {"schema": {"type": "string"}, "description": "Where the job is."},
        "Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."},
    },
}


@router.post(
    "/stylize",
    response_class=Response,
    responses={200: _PICTURE, 202: _ACCEPTED, **refusals(404, 415)},
    openapi_extra={
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema()}}}
    },
)
async def stylize(
    request: Request,
    idempotency_key: Annotated[
        str | None, Header(description="The same key and the same body are the same job.")
    ] = None,
    prefer: Annotated[
        str | None,
        Header(description="`respond-async`, or `wait=SECONDS` for the picture."),
    ] = None,
) -> Response:
    """Paint the content image in the style of the style image. The answer is the picture.

    If it takes longer than the server or the client waits, the answer is 202 and the place of the job. A
    client that leaves loses nothing: the job goes on.
    """
    door = door_of(request)
    if door.session.stop.is_set():
        raise retry_later(503, "the server is stopping; send the request again")
    if idempotency_key is not None and not _is_key(idempotency_key):
        raise RefusedError(400, f"an Idempotency-Key has 1 to {_LONGEST_KEY} printable ASCII characters")
    seconds, preferred = _wait(prefer, door)
    name, repeatable = door.taking.name(idempotency_key), idempotency_key is not None
    with door.hub.following(name) as followed:
        async with submission_of(request, door.uploads) as submission:
            new = await door.take_in(partial(door.taking.take, name, submission, repeatable))
        door.listed.forget()
        door.session.announce()
        outcome = None
        if not new:
            with suppress(UnavailableError):  # then the picture is waited for
                _, outcome = await _found(request, name)
        if outcome is None and seconds > 0:
            outcome = await outcome_of(door, name, followed, seconds, partial(_left, request))
    answer = await _answer(door, name, outcome, request)
    if preferred:
        answer.headers["Preference-Applied"] = preferred
    return answer


@router.get(
    "/jobs/{id}",
    response_model=JobState,
    responses={200: {**_PICTURE, "description": "The state of the job, or its picture."}, **refusals(404)},
)
async def job(request: Request, id: str) -> JobState | Response:  # noqa: A002
    """The state of a job; or its picture, if the client accepts images only and the job is done."""
    found, outcome = await _found(request, id)
    if found.state == "done" and request.headers.get("accept", "").strip().lower().startswith("image/"):
        return await _answer(door_of(request), id, outcome, request)
    return found


@router.get(
    "/jobs/{id}/picture",
    response_class=Response,
    responses={200: _PICTURE, 304: KNOWN, **refusals(404)},
)
async def picture(request: Request, id: str) -> Response:  # noqa: A002
    """The picture of a job that is done."""
    found, outcome = await _found(request, id)
    if found.state != "done":
        raise RefusedError(404, f"the job is {found.state}, so that there is no picture")
    return await _answer(door_of(request), id, outcome, request)


router.add_api_route("/jobs/{id}/picture", picture, methods=["HEAD"], include_in_schema=False)


async def _found(request: Request, name: str) -> tuple[JobState, Outcome | None]:
    """The state of a job, and its outcome if it has ended. Raises `RefusedError` if there is no such job."""
    door = door_of(request)
    if not is_request(name):
        raise RefusedError(404, "there is no job of this name")

    def seen() -> tuple[Record | None, str | None]:
        if record := door.outbox.record(name, PAIR):
            return record, None
        state = state_of(door.inbox, name)
        # It may have been done between these two looks.
        return (door.outbox.record(name, PAIR), state) if state == "done" else (None, state)

    record, state = await door.read(seen)
    if record:
        return _state(name, Outcome(record)), Outcome(record)
    if state is None:
        raise RefusedError(404, "there is no job of this name; its files may have been removed")
    if state == "done":
        raise RefusedError(404, "the results of this job were removed")
    if state == "failed" and (problems := await door.read(partial(why_failed, door.inbox, name))):
        ended = Outcome(problems=problems)
        return _state(name, ended), ended
    return _state(name, None, "processing" if state == "processing" else "waiting"), None


def _state(
    name: str, outcome: Outcome | None, state: Literal["waiting", "processing"] = "waiting"
) -> JobState:
    found = JobState(id=name, state=state, manifest=f"/manifests/{name}")
    if outcome and outcome.record:
        found.state, found.losses = "done", _finite(outcome.record)
        found.picture, found.record = f"/jobs/{name}/picture", f"/results/{name}/{PAIR}.json"
    elif outcome:
        found.state, found.errors = "failed", faults(outcome.problems)
    return found


async def _answer(door: Door, name: str, outcome: Outcome | None, request: Request) -> Response:
    """The picture; or why there is none; or that the job goes on."""
    place = {"Location": f"/jobs/{name}"}
    if outcome is None:
        text = _state(name, None).model_dump_json()
        return Response(text, 202, {**place, "Retry-After": str(_AGAIN)}, "application/json")
    if outcome.record is None:
        detail = "; ".join(problem.message for problem in outcome.problems)
        return problem_response(RefusedError(422, detail, outcome.problems, place))
    record = outcome.record
    key = f"{name}/{PurePosixPath(record.picture).name}"
    answer = await file_response(door, key, request)
    for header, value in {**place, **_losses(record)}.items():
        answer.headers[header] = value
    return answer


def _finite(record: Record) -> dict[str, float]:
    """The losses of a picture that JSON and headers can have."""
    return {name: loss for name, loss in record.losses.model_dump().items() if math.isfinite(loss)}


def _losses(record: Record) -> dict[str, str]:
    found = {f"NST-Loss-{name.capitalize()}": f"{loss:.6g}" for name, loss in _finite(record).items()}
    return {**found, "NST-Evaluations": str(record.evaluations), "NST-Seconds": f"{record.seconds:g}"}


def _wait(prefer: str | None, door: Door) -> tuple[float, str]:
    """How many seconds to wait for a picture, and which preference of the client that follows."""
    wished = [part.strip().lower() for part in (prefer or "").split(",")]
    if "respond-async" in wished:
        return 0.0, "respond-async"
    for part in wished:
        if match := _WAIT.fullmatch(part):
            return min(float(match[1]), door.settings.wait), part
    return door.settings.wait, ""


def _is_key(key: str) -> bool:
    return 0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()


async def _left(request: Request) -> None:
    """Wait until the client has left."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
