"""The pairs of a manifest with their states, in pages."""

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from pipeline.errors import NotFoundError, printable
from pipeline.inbox.layout import processing_key, waiting_key
from pipeline.manifest.document import MAX_BYTES
from pipeline.server.documented import refusals
from pipeline.server.door import Door, door_of
from pipeline.server.hub import Counts
from pipeline.server.names import known_name
from pipeline.server.newest import shown_result
from pipeline.server.paging import address_after
from pipeline.server.problems import RefusedError
from pipeline.server.states import State, errors_of, found_state, waiting_file

router = APIRouter(tags=["manifests"])

PairState = Literal["waiting", "running", "done", "failed"]


class PairEntry(BaseModel):
    """A pair of a manifest."""

    id: str
    state: PairState
    step: int | None = Field(None, description="While it is computed here: the number of the evaluation.")
    steps: int | None = Field(None, description="How many evaluations there are at most.")
    picture: str | None = Field(None, description="Where its picture is, once it is done.")
    thumbnail: str | None = Field(None, description="Where a small JPEG of it is.")
    finished: float | None = Field(
        None, description="When its record was written, in seconds since the epoch."
    )
    message: str | None = Field(None, description="Why it has failed, and what to do.")
    place: str | None = Field(None, description="Where the manifest names it, if it has failed.")


class PairList(BaseModel):
    """Some of the pairs of a manifest, and the number of all that are known."""

    state: State = Field(description="The state of the manifest.")
    counts: dict[PairState, int]
    pairs: list[PairEntry]
    next: str | None = Field(None, description="The address of those that follow, if there are more.")


@router.get("/manifests/{name}/pairs", responses=refusals(404, 409))
async def pairs(
    request: Request,
    name: str,
    state: Annotated[PairState | None, Query(description="Only pairs in this state.")] = None,
    after: Annotated[str, Query(max_length=300, description="Only pairs after this one.")] = "",
    limit: Annotated[int, Query(ge=1, le=1000, description="How many at most.")] = 100,
) -> PairList:
    """The pairs of a manifest in its order, with their states.

    While it waits or is worked on, these are all of its pairs. Afterwards they are those with a result or an
    error. What runs, and what has failed before the manifest ends, is known for the runner of this process.
    """
    door, name = door_of(request), known_name(name)
    found_state, states, entry = await door.read(partial(_seen, door, name))
    if after and after not in states:
        raise RefusedError(409, f"the manifest has no pair {after!r} any more; begin again without 'after'")
    ids = list(states)
    begin = ids.index(after) + 1 if after else 0
    wanted = [pair for pair in ids[begin:] if state in (None, states[pair])]
    page = wanted[:limit]
    following = address_after(request, page[-1]) if len(wanted) > limit else None
    counts = Counter(states.values())
    return PairList(
        state=found_state, counts=dict(counts), pairs=[entry(pair) for pair in page], next=following
    )


def _seen(door: Door, name: str) -> tuple[State, dict[str, PairState], Callable[[str], PairEntry]]:
    """The state of a manifest, those of its pairs in its order, and a function that describes one of them."""
    state = found_state(door.inbox, name)
    counts = door.hub.counts(name) or Counts(0)
    running, problems = counts.running, dict(counts.problems)
    if state == "failed":
        problems |= {problem.id: problem for problem in errors_of(door.inbox, name) if problem.id}
    results = door.folders.results(name)
    ids = [*_listed(door, name, state), *running, *problems, *results]
    states: dict[str, PairState] = dict.fromkeys(ids, "waiting")
    states |= dict.fromkeys(results, "done")
    states |= dict.fromkeys(problems, "failed")
    states |= dict.fromkeys(running, "running")

    def entry(pair: str) -> PairEntry:
        found = PairEntry(id=pair, state=states[pair])
        match found.state:
            case "running":
                found.step, found.steps = running[pair].step, running[pair].steps
            case "failed":
                problem = problems[pair]
                found.message, found.place = printable(problem.message), printable(problem.place)
            case "done":
                shown = shown_result(name, pair, results[pair])
                found.picture, found.thumbnail = shown.picture, shown.thumbnail
                found.finished = shown.finished
        return found

    return state, states, entry


def _listed(door: Door, name: str, state: State) -> list[str]:
    """The ids of the pairs that the document of a manifest has, as long as it waits or is worked on."""
    if state not in ("waiting", "processing"):
        return []
    with suppress(NotFoundError):
        key = (waiting_key if state == "waiting" else processing_key)(name)
        return door.expanded.ids(door.inbox.read(key, MAX_BYTES))
    with suppress(NotFoundError):  # it has moved since, unless its suffix has another letter case
        if state == "waiting" and (other := waiting_file(door.inbox, name)):
            return door.expanded.ids(door.inbox.read(other, MAX_BYTES))
    return []
