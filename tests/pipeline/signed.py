"""Results that carry the number of the process that made them, so that mixed ones can be recognised."""

import io
import json
import os
import random
from collections.abc import Sequence
from typing import Any

from PIL import Image

from nst import PreparedPair
from nst.result import Evaluation, Losses, Result
from pipeline.stores.base import Store
from tests.pipeline.box import Instant

LIMIT = 10**6
_NUMBERS = 2**24  # one for each colour of a pixel


class Signed(Instant):
    """Computes a picture of one colour, which is also the content loss. The other losses are the seed."""

    _signature = (0, 0)  # process, number

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        return [self._result(pair) for pair in pairs]

    def _result(self, pair: PreparedPair) -> Result:
        number = self._number()
        picture = Image.new("RGB", pair.contents[-1].size, (number >> 16, number >> 8 & 255, number & 255))
        seed = float(pair.parameters.seed)
        losses = Losses(float(number), seed, 0.0, seed)
        return Result(picture, losses, 1e6, [Evaluation(1, 1, 32, losses, 0.1)], 0.1)

    def _number(self) -> int:
        if self._signature[0] != os.getpid():  # a fork has the number of its parent
            self._signature = os.getpid(), random.SystemRandom().randrange(_NUMBERS)
        return self._signature[1]


def check_signatures(outbox: Store, key: str) -> tuple[int, int]:
    """The number of the process that made a result, and its seed.

    Raises `AssertionError` if picture, loss log and record are of different processes or seeds.
    """
    record = json.loads(outbox.read(f"{key}.json", LIMIT))
    lines = [json.loads(line) for line in outbox.read(f"{key}.loss.jsonl", LIMIT).splitlines()]
    with Image.open(io.BytesIO(outbox.read(f"{key}.png", LIMIT))) as picture:
        red, green, blue = picture.convert("RGB").getpixel((0, 0))  # type: ignore[misc]
        seed = json.loads(picture.info["Parameters"])["parameters"]["seed"]
    found = {
        "record": (int(record["losses"]["content"]), record["parameters"]["seed"]),
        "log": (int(lines[-1]["content"]), int(lines[-1]["style"])),
        "picture": (red << 16 | green << 8 | blue, seed),
    }
    assert len(set(found.values())) == 1, found
    return found["record"]
