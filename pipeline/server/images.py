"""Images: they are uploaded into the inbox, for the manifests that name them."""

from functools import partial
from typing import BinaryIO

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from pipeline.server.documented import BINARY, refusals
from pipeline.server.door import Door, door_of
from pipeline.server.names import image_path

router = APIRouter(tags=["images"])


class Uploaded(BaseModel):
    """An image in the inbox."""

    path: str = Field(description="How a manifest names it.")
    size: int = Field(description="Bytes.")


_KINDS = {"application/octet-stream": BINARY, "image/*": BINARY}
_BODY = {"requestBody": {"required": True, "content": _KINDS}}
_CREATED = {"description": "The image is in the inbox.", "model": Uploaded}


@router.put(
    "/images/{path:path}", status_code=201, openapi_extra=_BODY, responses={201: _CREATED, **refusals()}
)
async def put_image(request: Request, path: str) -> JSONResponse:
    """Put an image into the inbox, in place of one of this path. It is decoded first."""
    door, path = door_of(request), image_path(path)
    async with door.uploads.received(request) as body:
        size = await door.take_in(partial(_take_in, door, path, body))
    return JSONResponse(Uploaded(path=path, size=size).model_dump(), 201)


def _take_in(door: Door, path: str, body: BinaryIO) -> int:
    data = body.read()
    door.suffix_of(data)
    door.inbox.write(path, data)
    return len(data)
