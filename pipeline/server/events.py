"""Streams of events, as server-sent events: what the listeners of this process hear."""

import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Request
from fastapi.responses import StreamingResponse

from pipeline.errors import printable
from pipeline.server.documented import refusals
from pipeline.server.door import Door, door_of
from pipeline.server.hub import Said
from pipeline.server.names import known_name

router = APIRouter(tags=["events"])

_STREAM = {
    "description": "Events; each has an id, and an object as in the log.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}
_MISSED = 'event: events missed\ndata: {"event": "events missed"}\n\n'  # follows an id
_ID = re.compile(r"([0-9a-f]{8})-([0-9]{1,18})")
LastEventId = Annotated[str | None, Header(description="The id of the last event that the client has.")]


@router.get("/events", response_class=StreamingResponse, responses={200: _STREAM, **refusals()})
async def events(request: Request, last_event_id: LastEventId = None) -> StreamingResponse:
    """What happens in this process, from now on, or after the event that the client has.

    A server that does not work itself reports when manifests appear, and when they change their state.
    """
    return _answer(door_of(request), last_event_id, lambda said: True)


@router.get(
    "/manifests/{name}/events", response_class=StreamingResponse, responses={200: _STREAM, **refusals(404)}
)
async def manifest_events(
    request: Request, name: str, last_event_id: LastEventId = None
) -> StreamingResponse:
    """The same for one manifest, which may come later."""
    name = known_name(name)
    return _answer(door_of(request), last_event_id, lambda said: said.manifest == name)


def _answer(door: Door, last: str | None, wanted: Callable[[Said], bool]) -> StreamingResponse:
    return StreamingResponse(
        _stream(door, _begin(door, last), wanted),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _begin(door: Door, last: str | None) -> tuple[int, bool]:
    """The number of the last event that a client has, and whether it has missed some of another process."""
    match = _ID.fullmatch(last or "")
    if match is None:
        return door.hub.last, False
    same = match[1] == door.hub.begin
    return int(match[2]) if same else 0, not same


async def _stream(door: Door, begin: tuple[int, bool], wanted: Callable[[Said], bool]) -> AsyncIterator[str]:
    """Events until the client leaves or the door stops. A line that is no event shows that it lives."""
    number, elsewhere = begin
    hub, session = door.hub, door.session
    async with AsyncExitStack() as stack:
        if not door.works:
            await stack.enter_async_context(door.watching.active())
        alarm = stack.enter_context(hub.listening())
        yield f": events since {hub.begin}-{number}\n\n"
        told = time.monotonic()
        while not session.stop.is_set():
            found, dropped = hub.since(number)
            if dropped or elsewhere:
                number = found[0].number - 1 if found else number
                yield f"id: {hub.begin}-{number}\n{_MISSED}"
                elsewhere = False
            for said in filter(wanted, found):
                yield f"id: {hub.begin}-{said.number}\nevent: {printable(said.name)}\ndata: {said.text}\n\n"
                told = time.monotonic()
            number = found[-1].number if found else number
            # It rings for events of other manifests, too.
            rung = await alarm.wait(max(0.0, told + session.timing.heartbeat - time.monotonic()))
            if not rung or time.monotonic() - told > session.timing.heartbeat:
                yield ": nothing new\n\n"
                told = time.monotonic()
