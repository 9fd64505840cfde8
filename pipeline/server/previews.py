"""The picture of a pair as it forms: a small JPEG, which is made only while somebody asks for it."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pipeline.server.documented import KNOWN, file, refusals
from pipeline.server.door import door_of
from pipeline.server.etags import etag_of, is_known
from pipeline.server.names import known_name
from pipeline.server.problems import RefusedError

router = APIRouter(tags=["events"])

_PREVIEW = file(
    "The best picture so far; its long side has at most 256 pixels.",
    ["image/jpeg"],
    {"ETag": "Differs for another picture."},
)


@router.get(
    "/manifests/{name}/pairs/{pair}/preview",
    response_class=Response,
    responses={200: _PREVIEW, 304: KNOWN, **refusals(404)},
)
async def preview(request: Request, name: str, pair: str) -> Response:
    """The picture of a pair that this process computes now, as it is so far.

    For 10 seconds after each request there is a new one every two seconds. The first request, and one after
    a longer pause, is answered with 404: ask again after two seconds.
    """
    jpeg = door_of(request).session.previews.watch(known_name(name), pair)
    if jpeg is None:
        detail = "there is no preview of this pair; while it is computed here, ask again after two seconds"
        raise RefusedError(404, detail)
    etag = etag_of(jpeg)
    headers = {"ETag": etag, "Cache-Control": "private, no-cache"}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return Response(jpeg, 200, headers, "image/jpeg")
