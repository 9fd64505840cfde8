"""What the routes have in common in the OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.server.problems import MEDIA_TYPE

_MEANINGS = {
    400: "The request is malformed.",
    401: "A token is needed, or it is another one.",
    403: "Pages of other sites must not use this server.",
    404: "There is nothing of this name.",
    405: "This resource does not have this method.",
    408: "The body came too slowly.",
    409: "It is in another state.",
    413: "The body is too large.",
    415: "The body is of another type.",
    416: "The range lies outside of the file.",
    421: "The Host is not that of this server.",
    422: "The content is not valid; `errors` says what, and where.",
    429: "Too many requests are open, or too many manifests wait.",
    500: "The program has a fault.",
    503: "A store cannot be used now, too much comes in at once, or the server stops.",
}
_ALWAYS = (400, 401, 403, 405, 408, 413, 421, 422, 429, 500, 503)

KNOWN = {"description": "The client has it already."}  # 304
BINARY = {"schema": {"type": "string", "format": "binary"}}  # the content of a file
Responses = dict[int | str, dict[str, Any]]


def refusals(*more: int) -> Responses:
    """The refusals of a route: those that every route has, and these."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    content = {MEDIA_TYPE: {"schema": schema}}
    return {
        code: {"description": _MEANINGS[code], "content": content, **_headers(code)}
        for code in sorted({*_ALWAYS, *more})
    }


def _headers(code: int) -> dict[str, Any]:
    if code not in (429, 503):
        return {}
    return {"headers": {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}}


def file(description: str, kinds: Iterable[str], headers: Mapping[str, str]) -> dict[str, Any]:
    """An answer that is a file of one of these media types, with these headers and their meanings."""
    described = {
        name: {"schema": {"type": "string"}, "description": meaning} for name, meaning in headers.items()
    }
    return {"description": description, "content": dict.fromkeys(kinds, BINARY), "headers": described}
