"""Makes previews of those pairs of a batch that somebody watches."""

import math
import time
from collections.abc import Collection, Sequence

from PIL import Image

from nst.previews import PreviewCallbacks
from pipeline.engines.base import Task
from pipeline.engines.encode import thumbnail
from pipeline.engines.prepare_memory import THUMBNAIL
from pipeline.events.previews import Previews


def preview_callbacks(
    batch: Sequence[Task], previews: Previews, seconds: float, cancelled: Collection[int]
) -> PreviewCallbacks:
    """Callbacks for the run of one batch, which ask for previews once in so many seconds at most.

    `cancelled` has the numbers of tasks that are not previewed any more; it may change meanwhile.
    """
    due = -math.inf

    def wanted() -> list[int]:
        nonlocal due
        now = time.monotonic()
        if now < due:
            return []
        watched = previews.watched()
        found = [
            index
            for index, task in enumerate(batch)
            if (task.manifest, task.pair.id) in watched and task.number not in cancelled
        ]
        if found:
            due = now + seconds
        return found

    def show(index: int, image: Image.Image) -> None:
        # Encoding takes a millisecond. In this thread it ends before the result of the pair comes out.
        previews.put(batch[index].manifest, batch[index].pair.id, thumbnail(image))

    return PreviewCallbacks(wanted, show, THUMBNAIL)
