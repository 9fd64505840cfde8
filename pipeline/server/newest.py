"""The newest results of all manifests, for a page that shows what has been made."""

import heapq
from functools import partial
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from pipeline.server.documented import refusals
from pipeline.server.door import Door, door_of
from pipeline.server.folders import Shown

router = APIRouter(tags=["results"])

_MOST_OPEN = 64  # manifests that are worked on whose folders are listed


class ShownResult(BaseModel):
    """A pair that is done."""

    manifest: str
    pair: str
    picture: str = Field(description="Where its picture is.")
    thumbnail: str = Field(description="Where a small JPEG of it is.")
    finished: float = Field(description="When its record was written, in seconds since the epoch.")


class NewestResults(BaseModel):
    """Results, the newest first."""

    results: list[ShownResult]


@router.get("/results", responses=refusals())
async def newest(
    request: Request, limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 24
) -> NewestResults:
    """The newest results.

    They are those of the manifests that are worked on, that this process has worked on last, and that have
    the newest files. Listings are used for some seconds.
    """
    door = door_of(request)
    return NewestResults(results=await door.read(partial(_newest, door, limit)))


def _newest(door: Door, limit: int) -> list[ShownResult]:
    listed, finished = door.listed.get(), door.hub.finished()
    opened = list(listed["processing"])[:_MOST_OPEN]
    ended = {**listed["failed"], **listed["done"]}
    times = {name: max(at, finished.get(name, 0)) for name, at in ended.items()}
    found: list[tuple[str, str, Shown]] = []
    for name in [*opened, *heapq.nlargest(limit, times.keys() - {*opened}, key=lambda n: (times[n], n))]:
        if len(found) >= limit and name not in opened:
            break
        found += [(name, pair, shown) for pair, shown in door.folders.results(name).items()]
    best = heapq.nlargest(limit, found, key=lambda item: (item[2].finished, item[1]))
    return [shown_result(*item) for item in best]


def shown_result(manifest: str, pair: str, shown: Shown) -> ShownResult:
    """A result with the addresses of its files."""
    file = f"{quote(manifest, safe='')}/{quote(shown.picture, safe='')}"
    return ShownResult(
        manifest=manifest,
        pair=pair,
        picture=f"/results/{file}",
        thumbnail=f"/thumbnails/{file}",
        finished=shown.finished,
    )
