"""The page `/`, which shows what happens and takes pictures in. Its files need no token; all data do."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from pipeline.server.assets import INDEX, STATIC, StaticFile
from pipeline.server.bodies import POLICY
from pipeline.server.etags import is_known
from pipeline.server.problems import RefusedError

router = APIRouter()

# Scripts and styles only from files of this server, and no text that becomes HTML. Pictures that need a token
# are read by a script, and shown from its memory (`blob:`).
_POLICY = (
    f"{POLICY}; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
async def index(request: Request) -> Response:
    """The page."""
    return _answer(request, INDEX)


@router.api_route("/static/{name}", methods=["GET", "HEAD"], include_in_schema=False)
async def static(request: Request, name: str) -> Response:
    """A file that the page needs."""
    file = STATIC.get(f"/static/{name}")
    if file is None:
        raise RefusedError(404, "the page has no file of this name")
    return _answer(request, file)


def _answer(request: Request, file: StaticFile) -> Response:
    headers = {"ETag": file.etag, "Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
    if is_known(request, file.etag):
        return Response(status_code=304, headers=headers)
    return Response(file.data, 200, headers, file.kind)
