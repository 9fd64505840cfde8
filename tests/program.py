"""Runs the program with other intervals or another engine than in production; `tests.process` starts it.

python -m tests.program TIMING ENGINE COMMAND...

TIMING is a JSON object with fields of `Timing`. ENGINE is a key of `ENGINES`.
"""

import json
import os
import sys
import time
from pathlib import Path

from pipeline import start
from pipeline.cli import main
from pipeline.engines.base import Engine, Task
from pipeline.engines.fake import FakeEngine
from pipeline.environment import Environment
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.lasting_engine import LastingEngine, StuckEngine


def _held(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    """Actors whose tasks note in the folder of their images that they begin, and wait for a file there."""
    from pipeline.engines.ray import RayEngine

    def before(task: Task) -> None:
        folder = Path(task.base)
        (folder / f"{os.getpid()}-{task.number}.begun").touch()
        while not (folder / "released").exists():
            time.sleep(0.01)

    return RayEngine(settings, stores, timing, lambda settings, stores, timing: FakeEngine(stores, before))


def _signed(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    """Actors whose results are signed, and take some time."""
    from pipeline.engines.ray import RayEngine
    from tests.signed_engine import SignedEngine

    return RayEngine(settings, stores, timing, lambda settings, stores, timing: SignedEngine(stores))


ENGINES = {
    "held": _held,
    "signed": _signed,
    "local": Environment().engine,
    "stuck": lambda settings, stores, timing: StuckEngine(stores),
    "lasting": lambda settings, stores, timing: LastingEngine(stores),
    "fake": lambda settings, stores, timing: FakeEngine(stores),
}


if __name__ == "__main__":
    _, intervals, engine, *sys.argv[1:] = sys.argv
    start.main(lambda: main(Environment(Timing(**json.loads(intervals)), ENGINES[engine])))
