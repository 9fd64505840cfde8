"""The list of all manifests, in pages, so that many of them do not make a large answer."""

from bisect import bisect_right
from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from pipeline.server.documented import refusals
from pipeline.server.door import door_of
from pipeline.server.paging import address_after
from pipeline.server.problems import RefusedError
from pipeline.server.states import FOLDERS, State

router = APIRouter(tags=["manifests"])

_ORDER = list(FOLDERS)
_Place = tuple[int, str]  # the index of a state, and the name of a manifest


class ManifestEntry(BaseModel):
    """A manifest in a list."""

    name: str
    state: State


class ManifestList(BaseModel):
    """Some of the manifests, by state and name, and the number of all."""

    counts: dict[State, int]
    manifests: list[ManifestEntry]
    next: str | None = Field(None, description="The address of those that follow, if there are more.")


@router.get("/manifests", responses=refusals())
async def manifests(
    request: Request,
    state: Annotated[State | None, Query(description="Only manifests in this state.")] = None,
    after: Annotated[str, Query(max_length=300, description="Only manifests after `STATE/NAME`.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
) -> ManifestList:
    """The manifests that wait, are worked on, are done and have failed, in this order, by name."""
    door = door_of(request)
    found = await door.read(door.listed.get)
    places = [(_ORDER.index(s), name) for s in _ORDER if state in (None, s) for name in found[s]]
    begin = bisect_right(places, _place(after)) if after else 0
    page = places[begin : begin + limit]
    following = None
    if begin + limit < len(places):
        last = f"{_ORDER[page[-1][0]]}/{page[-1][1]}"
        following = address_after(request, last)
    return ManifestList(
        counts={s: len(names) for s, names in found.items()},
        manifests=[ManifestEntry(name=name, state=_ORDER[index]) for index, name in page],
        next=following,
    )


def _place(text: str) -> _Place:
    state, _, name = text.partition("/")
    for index, known in enumerate(_ORDER):
        if state == known:
            return index, name
    raise RefusedError(422, "'after' is STATE/NAME, as in 'next' of an earlier answer")
