"""Runs the program with other intervals or another engine than in production; `tests.process` starts it.

python -m tests.program TIMING ENGINE COMMAND...

TIMING is a JSON object with fields of `Timing`. ENGINE is a key of `ENGINES`.
"""

import json
import sys
import threading
from collections.abc import Sequence
from typing import Any

from nst import PreparedPair, Stylizer
from nst.result import Result
from pipeline import start
from pipeline.cli import main
from pipeline.engines.base import Engine
from pipeline.engines.fake import FakeEngine
from pipeline.engines.local import LocalEngine
from pipeline.environment import Environment
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing


class Stuck(Stylizer):
    """Never finishes a batch."""

    def run(self, pairs: Sequence[PreparedPair], on_evaluation: Any = None) -> list[Result]:
        threading.Event().wait()
        raise AssertionError("unreachable")


def _stuck(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    return LocalEngine(settings, stores, timing, lambda s: Stuck(s.weights, s.device, s.dtype))


ENGINES = {
    "local": LocalEngine,
    "stuck": _stuck,
    "fake": lambda settings, stores, timing: FakeEngine(stores),
}


if __name__ == "__main__":
    _, intervals, engine, *sys.argv[1:] = sys.argv
    start.main(lambda: main(Environment(Timing(**json.loads(intervals)), ENGINES[engine])))
