"""Results: the files of the outbox, so that its pages work in a browser, also those in a bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from nst.errors import ImageError
from pipeline.errors import NotFoundError, StoreError, UnavailableError
from pipeline.outbox.pages import INDEX
from pipeline.server.documented import KNOWN, file, refusals
from pipeline.server.door import door_of
from pipeline.server.etags import is_known
from pipeline.server.files import file_response
from pipeline.server.names import result_key
from pipeline.server.pictures import MEDIA_TYPES, SUFFIXES
from pipeline.server.problems import RefusedError

router = APIRouter(tags=["results"])

_FILE = file(
    "The file; pictures, pages, records and loss logs.",
    (*MEDIA_TYPES.values(), "text/html", "application/octet-stream"),
    {"ETag": "Differs for another content."},
)
_FILE["content"] |= {
    "application/json": {"schema": {}},
    "application/x-ndjson": {"schema": {"type": "string"}},
}
_SMALL = file(
    "A JPEG whose sides have at most 512 pixels.", ["image/jpeg"], {"ETag": "Differs for another picture."}
)
_PART = {**_FILE, "description": "The part of the file that `Range` asks for."}


@router.get(
    "/results/{name}/{path:path}",
    response_class=Response,
    responses={200: _FILE, 206: _PART, 304: KNOWN, **refusals(404, 416)},
)
async def result(request: Request, name: str, path: str) -> Response:
    """A file of the results of a manifest. Without a path, it is the page with all pictures."""
    key = result_key(name, path or INDEX)
    with _missing("result"):
        return await file_response(door_of(request), key, request)


@router.get("/results/{name}", include_in_schema=False)
async def folder(name: str) -> Response:
    """The page of a manifest, whose links are relative to its folder."""
    result_key(name, INDEX)
    return RedirectResponse(f"./{quote(name, safe='')}/", 307)


@router.get(
    "/thumbnails/{name}/{file}",
    response_class=Response,
    responses={200: _SMALL, 304: KNOWN, **refusals(404)},
)
async def thumbnail(request: Request, name: str, file: str) -> Response:
    """A small JPEG of a picture in the results of a manifest."""
    door, key = door_of(request), result_key(name, file)
    with _missing("picture"):
        shown = file.lower().endswith(tuple(SUFFIXES))
        etag = await door.read(partial(door.thumbnails.etag, key)) if shown else None
        if etag is None:
            raise NotFoundError(key)
        headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
        if is_known(request, etag):
            return Response(status_code=304, headers=headers)
        jpeg = await door.shrink(partial(door.thumbnails.jpeg, key, etag))
        return Response(jpeg, 200, headers, "image/jpeg")


@contextmanager
def _missing(what: str) -> Iterator[None]:
    """Errors about a file become a 404, so that they show nothing of the store. It may be unavailable."""
    try:
        yield
    except UnavailableError:
        raise
    except (ImageError, StoreError):
        raise RefusedError(404, f"there is no {what} of this name") from None


for path, answer in (("/results/{name}/{path:path}", result), ("/thumbnails/{name}/{file}", thumbnail)):
    router.add_api_route(path, answer, methods=["HEAD"], include_in_schema=False)
