"""Whether the process lives, and whether it can work: for probes, which send no token."""

from typing import Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel

from pipeline.server.documented import refusals
from pipeline.server.door import door_of
from pipeline.server.problems import retry_later

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process lives, or is ready."""

    status: Literal["alive", "ready"]


@router.get("/healthz", responses=refusals())
async def alive() -> Health:
    """The process answers."""
    return Health(status="alive")


@router.get("/readyz", responses=refusals())
async def ready(request: Request) -> Health:
    """The device was tried, and inbox and outbox could be reached some seconds ago."""
    door = door_of(request)
    if door.session.stop.is_set():
        raise retry_later(503, "the server is stopping")
    if door.works and not door.hub.ready:
        raise retry_later(503, "the engine has not started yet")
    await door.read(door.reached.get)
    return Health(status="ready")


for path, answer in (("/healthz", alive), ("/readyz", ready)):
    router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
