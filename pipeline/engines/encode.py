"""Encodes the picture, the loss log, the thumbnails and the snapshots of a result, and makes its record."""

import io
import json
import math
import platform
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial

import torch
from PIL import Image

import nst
from nst import images
from nst.device import device_name, dtype_name
from nst.images import Picture
from nst.result import Evaluation, Losses, Result
from nst.snapshots import LONG_SIDE
from nst.stylizer import Stylizer
from pipeline.cache import Cache
from pipeline.engines.animation import animation
from pipeline.engines.base import Finished, Task
from pipeline.engines.prepare import Prepared
from pipeline.engines.prepare_memory import THUMBNAIL
from pipeline.outbox.record import DeliveredLosses, Record, RecordedSnapshots, WeightFile

_SOFTWARE = f"nst-pipeline {nst.__version__}"
_CURVE_POINTS = 60
_THUMBNAILS_KEPT = 256
_SHOWN = 1600  # pixels, the maximum of the long side of what pages show in place of a picture


class Encoder:
    """Encodes results, in one thread. A thumbnail that many pairs share is encoded once."""

    def __init__(self, stylizer: Stylizer) -> None:
        self._stylizer = stylizer
        # Now, because a GPU that has failed does not say its name any more.
        self._device = device_name(stylizer.device)
        self._thumbnails = Cache[bytes](_THUMBNAILS_KEPT)

    def encode(self, task: Task, prepared: Prepared, result: Result) -> Finished:
        """All files of one result, encoded."""
        record = _record(task.pair.id, prepared, result, self._stylizer, self._device)
        notes = record.model_dump(
            include={"id", "parameters", "style_weight", "losses", "weights"},
            exclude={"parameters": {"snapshots"}},  # the picture is the same with and without them
        )
        pair = prepared.pair
        whole = Picture(result.image, pair.alpha, prepared.dpi, prepared.exif, pair.colors)
        picture = images.encode(whole, record.parameters.format, _SOFTWARE, notes)
        record = record.with_thumbnail(picture)
        thumbnails = {
            name: self._thumbnails.found_or_made(name, partial(thumbnail, image))
            for name, image in prepared.thumbnails.items()
        }
        if record.thumbnail:
            thumbnails[record.thumbnail] = thumbnail(result.image, _SHOWN)
        return Finished(
            task=task,
            record=record,
            picture=picture,
            loss_log=_loss_log(result.evaluations),
            thumbnails=thumbnails,
            snapshots=_snapshots(record, result),
        )


def thumbnail(image: Image.Image, most: int = THUMBNAIL) -> bytes:
    """A JPEG whose sides have at most so many pixels."""
    small = images.resize(image, images.limited(image.size, most))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=85)
    return out.getvalue()


def _snapshots(record: Record, result: Result) -> dict[str, bytes]:
    """The files of the snapshots, by their names in the record."""
    if record.snapshots is None:
        return {}
    pictures = [snapshot.image for snapshot in result.snapshots]
    files = {
        name: thumbnail(picture, LONG_SIDE)
        for name, picture in zip(record.snapshots.pictures, pictures, strict=True)
    }
    return {**files, record.snapshots.animation: animation(pictures)}


def _record(pair: str, prepared: Prepared, result: Result, stylizer: Stylizer, device: str) -> Record:
    parameters, steps = prepared.pair.parameters, [snapshot.step for snapshot in result.snapshots]
    return Record(
        id=pair,
        input_digest=prepared.digest,
        picture=f"{pair}.{parameters.format}",
        content=prepared.content,
        styles=prepared.styles,
        keep=prepared.keep,
        parameters=parameters,
        style_weight=None if parameters.strength is None else result.style_weight,
        width=result.image.width,
        height=result.image.height,
        losses=DeliveredLosses(**asdict(result.losses)),
        evaluations=len(result.evaluations),
        seconds=round(result.seconds, 3),
        device=device,
        dtype=dtype_name(stylizer.dtype),
        weights=WeightFile(source=stylizer.weights.source, sha256=stylizer.weights.sha256),
        versions={
            "nst-pipeline": nst.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        curve=_curve_points(result.evaluations),
        node=platform.node() or None,
        snapshots=RecordedSnapshots.of(pair, steps) if steps else None,
    )


def _loss_log(evaluations: Sequence[Evaluation]) -> bytes:
    lines = (
        {"step": e.step, "scale": e.scale, **_numbers(e.losses), "seconds": round(e.seconds, 3)}
        for e in evaluations
    )
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in lines).encode()


def _numbers(losses: Losses) -> dict[str, float | None]:
    # JSON has no number for a loss that is infinite or not a number.
    return {name: value if math.isfinite(value) else None for name, value in asdict(losses).items()}


def _curve_points(evaluations: Sequence[Evaluation]) -> list[tuple[int, float]]:
    stride = max(1, -(-len(evaluations) // _CURVE_POINTS))
    kept = [*evaluations[:-1:stride], *evaluations[-1:]]
    return [(e.step, e.losses.total) for e in kept]
