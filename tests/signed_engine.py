"""An engine for the campaign on Ray. Its results carry the number of its process, as those of `Signed` do."""

import io
import json
import random
import time
from dataclasses import replace

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pipeline.engines.base import Finished, Outcome, Task
from pipeline.engines.fake import FakeEngine
from pipeline.stores.opening import Stores

_SLOWEST = 0.2  # seconds for one task


class SignedEngine(FakeEngine):
    """Signs its results as `Signed` does, and takes a random time for each task. It needs no torch."""

    def __init__(self, stores: Stores) -> None:
        super().__init__(stores, _wait)
        self._number = random.SystemRandom().randrange(2**24)

    def take(self) -> Outcome | None:
        outcome = super().take()
        if not isinstance(outcome, Finished):
            return outcome
        number, seed = self._number, outcome.record.parameters.seed
        picture, info = io.BytesIO(), PngInfo()
        info.add_text("Parameters", json.dumps({"parameters": {"seed": seed}}))
        colour = (number >> 16, number >> 8 & 255, number & 255)
        Image.new("RGB", (32, 32), colour).save(picture, "PNG", pnginfo=info)
        losses = outcome.record.losses.model_copy(update={"content": number})
        record = outcome.record.model_copy(update={"losses": losses})
        log = json.dumps({"step": 1, "content": number, "style": seed}).encode() + b"\n"
        return replace(outcome, record=record, picture=picture.getvalue(), loss_log=log)


def _wait(task: Task) -> None:
    time.sleep(random.uniform(0, _SLOWEST))
