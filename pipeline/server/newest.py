"""The newest results of all manifests, for a page that shows what has been made."""

import heapq
from collections.abc import Iterable, Mapping
from functools import partial
from itertools import chain
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from pipeline.server.documented import refusals
from pipeline.server.door import Door, door_of
from pipeline.server.folders import Ended, Shown

router = APIRouter(tags=["results"])

_MOST_OPEN = 64  # manifests that are worked on whose folders are listed
_MOST_EMPTY = 100  # manifests without results whose folders are listed

_Item = tuple[str, str, Shown]  # a manifest, a pair of it, and its result


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

    They are those of the manifests that are worked on, and of those that have ended last. Listings are used
    for some seconds.
    """
    door = door_of(request)
    return NewestResults(results=await door.read(partial(_newest, door, limit)))


def _newest(door: Door, limit: int) -> list[ShownResult]:
    listed = door.listed.get()
    ended: dict[str, Ended] = {
        name: (state, at) for state in ("failed", "done") for name, at in listed[state].items()
    }
    opened = list(listed["processing"])[:_MOST_OPEN]
    best = _best((_of(name, door.folders.results(name)) for name in opened), limit)
    # A manifest that was refused has no results, so that more of them may be needed than results.
    latest = heapq.nlargest(limit + _MOST_EMPTY, ended, key=lambda name: (ended[name][1], name))
    for name in latest:
        if len(best) == limit and best[-1][2].finished >= ended[name][1]:
            break
        if name not in opened:
            best = _best([best, _of(name, door.folders.results(name, ended[name]))], limit)
    return [shown_result(*item) for item in best]


def _of(manifest: str, results: Mapping[str, Shown]) -> list[_Item]:
    return [(manifest, *item) for item in results.items()]


def _best(found: Iterable[Iterable[_Item]], limit: int) -> list[_Item]:
    """The newest of several lists of results, sorted."""
    return heapq.nlargest(limit, chain.from_iterable(found), key=lambda item: (item[2].finished, item[1]))


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
