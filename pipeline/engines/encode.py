"""From a finished transfer to files in the outbox."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

import torch

import nst
from nst import images
from nst.device import device_name, dtype_name
from nst.images import Picture
from nst.result import Evaluation, Result
from nst.stylizer import Stylizer
from pipeline.engines.prepare import Prepared, thumbnail
from pipeline.outbox.outbox import Losses, Outbox, Record, WeightFile
from pipeline.work.job import Job

_SOFTWARE = f"nst-pipeline {nst.__version__}"
_CURVE_POINTS = 60


def publish(
    outbox: Outbox, job: Job, pair: str, prepared: Prepared, result: Result, stylizer: Stylizer
) -> Record:
    """Write one result, its record last, and return the record. Raises `StoreError`, `ClaimLostError`."""
    parameters = prepared.pair.parameters
    record = Record(
        id=pair,
        input_digest=prepared.digest,
        picture=f"{pair}.{parameters.format}",
        content=prepared.content,
        styles=prepared.styles,
        parameters=parameters,
        width=result.image.width,
        height=result.image.height,
        losses=Losses(**asdict(result.losses)),
        evaluations=len(result.evaluations),
        seconds=round(result.seconds, 3),
        device=device_name(stylizer.device),
        dtype=dtype_name(stylizer.dtype),
        weights=WeightFile(source=stylizer.weights.source, sha256=stylizer.weights.sha256),
        versions={
            "nst-pipeline": nst.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        curve=_curve(result.evaluations),
    )
    notes = record.model_dump(include={"id", "parameters", "losses", "weights"})
    picture = Picture(result.image, prepared.pair.alpha)
    data = images.encode(picture, parameters.format, _SOFTWARE, notes)
    for source in (record.content, *record.styles):
        image = prepared.thumbnails[source.thumbnail]
        outbox.put_thumbnail(job.name, source, partial(thumbnail, image))
    outbox.publish(job.name, record, data, _loss_log(result.evaluations), prepared.earlier, job.confirm)
    return record


def _loss_log(evaluations: Sequence[Evaluation]) -> bytes:
    lines = (
        {"step": e.step, "scale": e.scale, **asdict(e.losses), "seconds": round(e.seconds, 3)}
        for e in evaluations
    )
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _curve(evaluations: Sequence[Evaluation]) -> list[tuple[int, float]]:
    stride = max(1, -(-len(evaluations) // _CURVE_POINTS))
    kept = [*evaluations[:-1:stride], *evaluations[-1:]]
    return [(e.step, e.losses.total) for e in kept]
