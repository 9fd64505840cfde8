"""The application: its routes, and what becomes of errors in them."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import TypeAdapter
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

import nst
from nst.errors import NSTError
from pipeline.errors import UNEXPECTED, Problem
from pipeline.manifest.wording import place_of
from pipeline.server import (
    docs,
    events,
    health,
    images,
    jobs,
    listing,
    manifests,
    metrics,
    newest,
    page,
    pairs,
    previews,
    progress,
    results,
)
from pipeline.server.access import Access
from pipeline.server.bodies import Bodies
from pipeline.server.door import Door, door_of
from pipeline.server.problems import ProblemDetails, RefusedError, problem_response, refused_by

# Which paths need no token, `pipeline/server/access.py` says.
_ROUTERS = (
    jobs.router,
    listing.router,
    manifests.router,
    pairs.router,
    images.router,
    results.router,
    newest.router,
    events.router,
    previews.router,
    progress.router,
    health.router,
    metrics.router,
    page.router,
    docs.router,
)
_SENTENCES = {
    404: "there is nothing at this address; /docs lists what there is",
    405: "this address does not have this method",
}


def make_app(door: Door, access: Access) -> ASGIApp:
    """The application of a door, with the layer that lets requests in."""
    app = FastAPI(
        title="nst-pipeline",
        version=nst.__version__,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.door = door
    for router in _ROUTERS:
        app.include_router(router)
    app.add_exception_handler(NSTError, _refused)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unexpected)
    app.openapi = lambda: _with_problems(app)  # type: ignore[method-assign]
    return Bodies(app, access, door.settings.max_upload << 20, door.session.timing, door.session.warn)


def _with_problems(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the schemas of refusals."""
    document = FastAPI.openapi(app)  # the same one each time
    _, schemas = TypeAdapter.json_schemas(
        [("p", "serialization", TypeAdapter(ProblemDetails))], ref_template="#/components/schemas/{model}"
    )
    document["components"]["schemas"] |= schemas["$defs"]
    return document


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, NSTError)
    return problem_response(refused_by(error))


async def _of_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = _SENTENCES.get(error.status_code, str(error.detail))
    return problem_response(RefusedError(error.status_code, detail, headers=dict(error.headers or {})))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [Problem(place_of(tuple(e["loc"])), str(e["msg"])) for e in error.errors()]
    detail = f"the request is not valid: {'; '.join(map(str, problems))}"
    return problem_response(RefusedError(422, detail, problems))


async def _disconnected(request: Request, error: Exception) -> Response:
    return problem_response(RefusedError(400, "the client has left"))  # nobody reads it


async def _unexpected(request: Request, error: Exception) -> Response:
    where = f"{request.method} {request.url.path}"
    if isinstance(error.__cause__, NSTError):  # after the beginning of the answer was sent
        door_of(request).session.warn(f"{where}: the answer was not sent to its end: {error.__cause__}")
    else:
        door_of(request).session.warn(f"{where}: {UNEXPECTED}: {error!r}")
    return problem_response(RefusedError(500, UNEXPECTED))
