"""An engine for tests: it reads the images, computes nothing, and gives a small picture back."""

import io
import platform
import queue
import threading
from collections.abc import Callable, Mapping

from PIL import Image

from nst.errors import NSTError
from nst.result import Evaluation, Losses
from pipeline.engines.base import Changed, Died, Failed, Finished, Outcome, Task, Unchanged, Unread
from pipeline.engines.files import ImageFile
from pipeline.errors import EngineLostError, StoreError, UnavailableError, problems_of
from pipeline.events.listener import BatchBegan, BatchEnded, Evaluated, Listener, Note
from pipeline.events.previews import Previews
from pipeline.outbox.record import (
    DeliveredLosses,
    Record,
    RecordedImage,
    RecordedSnapshots,
    WeightFile,
    sha256_of,
)
from pipeline.stores.opening import Stores

_FORMATS = {"png": "PNG", "jpg": "JPEG", "webp": "WEBP", "tiff": "TIFF"}  # as Pillow names them


class FakeEngine:
    """Needs neither torch nor a device. One thread works on one task after the other, by their ranks.

    `tasks` holds every task that was submitted. `before` is called with each task when its turn has come; it
    may wait, to hold the engine; it may return an outcome, which is given back instead of a picture; and it
    may raise: an `EngineLostError` ends the engine with its task, any other `NSTError` fails the pair. A pair
    that is watched when its turn has come gets one preview, before that call.
    """

    def __init__(
        self, stores: Stores, before: Callable[[Task], Outcome | None] = lambda task: None, batch: int = 1
    ) -> None:
        self.tasks: list[Task] = []
        self.batch, self.begun = batch, 3 * batch
        self._stores, self._before = stores, before
        self._waiting: list[Task] = []
        self._outcomes: queue.SimpleQueue[Outcome | EngineLostError | None] = queue.SimpleQueue()
        self._changed, self._stopped = threading.Condition(), False

    def start(self, listener: Listener, on_change: Callable[[], None], previews: Previews) -> None:
        self._listener, self._on_change, self._previews = listener, on_change, previews
        listener.hear(Note("ready", details={"device": "none"}))
        threading.Thread(target=self._work, name="fake engine", daemon=True).start()

    def wanted(self) -> int:
        with self._changed:
            return max(0, 2 * self.batch - len(self._waiting))

    def submit(self, task: Task) -> None:
        with self._changed:
            self.tasks.append(task)
            self._waiting.append(task)
            self._changed.notify_all()

    def flush(self) -> None:
        pass  # every batch has one pair

    def take(self) -> Outcome | None:
        outcome = self._outcomes.get()
        if isinstance(outcome, EngineLostError):
            raise outcome
        return outcome

    def cancel(self, manifest: str) -> None:
        with self._changed:
            self._waiting = [task for task in self._waiting if task.manifest != manifest]

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        self._outcomes.put(None)

    def close(self) -> None:
        self.stop()

    def _work(self) -> None:
        while task := self._next():
            self._on_change()
            try:
                self._outcomes.put(self._compute(task))
            except EngineLostError as error:
                self._outcomes.put(Died(task, str(error)))
                self._outcomes.put(error)
                return
            except NSTError as error:
                if not task.waits and isinstance(error, UnavailableError):
                    self._outcomes.put(Unread(task, str(error)))
                    continue
                problem = problems_of(error, task.pair.place, task.pair.id)[0]
                self._outcomes.put(Failed(task, problem))

    def _compute(self, task: Task) -> Outcome:
        self._listener.hear(BatchBegan(1))
        if (task.manifest, task.pair.id) in self._previews.watched():
            self._previews.put(task.manifest, task.pair.id, _encoded("JPEG"))
        try:
            return self._before(task) or self._result(task)
        finally:
            self._listener.hear(BatchEnded())

    def _next(self) -> Task | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if self._stopped:
                return None
            task = min(self._waiting, key=lambda t: t.rank)
            self._waiting.remove(task)
            return task

    def _result(self, task: Task) -> Outcome:
        sources = self._stores.sources(task.base, task.allowed)
        images = task.pair.images
        if task.images.keys() >= set(images) and _digest(task, task.images) == task.known:
            return Unchanged(task)
        files = {image: ImageFile(image, *sources.fetch(image)) for image in images}
        digest = _digest(task, {image: file.sha256 for image, file in files.items()})
        if digest == task.known:
            return Unchanged(task)
        if task.check_only:
            return Changed(task)
        if task.refusal:
            raise StoreError(task.refusal)
        evaluation = Evaluation(step=1, steps=1, scale=32, losses=Losses(1.0, 1.0, 0.0, 2.0), seconds=0.1)
        self._listener.hear(Evaluated(task.manifest, task.pair.id, evaluation))
        return _finished(task, {image: file.recorded() for image, file in files.items()}, digest)


def _digest(task: Task, sha256s: Mapping[str, str]) -> str:
    described = [*(sha256s[image] for image in task.pair.images), task.pair.parameters.model_dump_json()]
    return sha256_of("".join(described).encode())


def _finished(task: Task, images: Mapping[str, RecordedImage], digest: str) -> Finished:
    pair = task.pair
    styles = [
        images[style.image].model_copy(
            update={
                "region": style.region and images[style.region],
                "image_region": style.image_region and images[style.image_region],
            }
        )
        for style in pair.styles
    ]
    count = task.pair.parameters.snapshots
    snapshots = RecordedSnapshots.of(task.pair.id, range(1, count + 1)) if count else None
    record = Record(
        id=task.pair.id,
        input_digest=digest,
        picture=f"{pair.id}.{pair.parameters.format}",
        content=images[pair.content],
        styles=styles,
        keep=pair.keep and images[pair.keep],
        parameters=task.pair.parameters,
        style_weight=task.pair.parameters.strength and 1e6,
        width=32,
        height=32,
        losses=DeliveredLosses(content=1, style=1, tv=0, total=2),
        evaluations=1,
        seconds=0.1,
        device="none",
        dtype="none",
        weights=WeightFile(source="none", sha256=""),
        versions={},
        finished="2026-01-01T00:00:00+00:00",
        curve=[(1, 2.0)],
        node=platform.node() or None,
        snapshots=snapshots,
    )
    picture = _encoded(_FORMATS[pair.parameters.format])
    record = record.with_thumbnail(picture)
    thumbnails = [image.thumbnail for image in images.values()]
    thumbnails += [record.thumbnail] if record.thumbnail else []
    return Finished(
        task=task,
        record=record,
        picture=picture,
        loss_log=b'{"step": 1, "total": 2.0}\n',
        thumbnails=dict.fromkeys(thumbnails, _encoded("JPEG")),
        snapshots=_encoded_snapshots(snapshots) if snapshots else {},
    )


def _encoded_snapshots(snapshots: RecordedSnapshots) -> dict[str, bytes]:
    return {name: _encoded("JPEG") for name in snapshots.pictures} | {snapshots.animation: _encoded("WEBP")}


def _encoded(form: str) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (32, 32), "gray").save(out, form)
    return out.getvalue()
