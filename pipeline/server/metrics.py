"""Metrics of this process, for Prometheus."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pipeline.server.documented import refusals
from pipeline.server.door import door_of

router = APIRouter(tags=["health"])

_TEXT = {
    "description": "Metrics in Prometheus' text format.",
    "content": {"text/plain": {"schema": {"type": "string"}}},
}


@router.get("/metrics", response_class=Response, responses={200: _TEXT, **refusals()})
async def metrics(request: Request) -> Response:
    """The metrics of this process; docs/operations.md has a table of them."""
    found = door_of(request).metrics
    return Response(found.text(), media_type=found.content_type)
