"""What the runner in this process works on now. It costs no request to a store."""

import math

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from nst.result import Evaluation
from pipeline.server.documented import refusals
from pipeline.server.door import door_of
from pipeline.server.names import can_be_given

router = APIRouter(tags=["events"])


class OpenManifest(BaseModel):
    """A manifest that this process works on."""

    name: str
    pairs: int
    done: int
    failed: int


class RunningPair(BaseModel):
    """A pair that is computed now, after its last evaluation."""

    manifest: str
    pair: str
    step: int = Field(description="The number of the evaluation, from 1.")
    steps: int = Field(description="How many there are at most.")
    total: float | None = Field(description="The loss; none if it is not finite.")


class Progress(BaseModel):
    """What this process works on."""

    works: bool = Field(description="Whether a runner works in this process.")
    ready: bool = Field(description="Whether its engine has started.")
    manifests: list[OpenManifest]
    running: list[RunningPair]


@router.get("/progress", responses=refusals())
async def progress(request: Request) -> Progress:
    """The manifests and the pairs that the runner in this process works on now."""
    door = door_of(request)
    # As in the other lists, without names that no client can give.
    opened = {name: counts for name, counts in door.hub.opened().items() if can_be_given(name)}
    return Progress(
        works=door.works,
        ready=door.hub.ready,
        manifests=[
            OpenManifest(name=name, pairs=c.pairs, done=c.done, failed=c.failed) for name, c in opened.items()
        ],
        running=[_running(name, pair, e) for name, c in opened.items() for pair, e in c.running.items()],
    )


def _running(manifest: str, pair: str, evaluation: Evaluation) -> RunningPair:
    total = evaluation.losses.total
    return RunningPair(
        manifest=manifest,
        pair=pair,
        step=evaluation.step,
        steps=evaluation.steps,
        total=total if math.isfinite(total) else None,
    )
