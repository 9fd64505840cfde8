"""An engine that never finishes a batch."""

import threading
from collections.abc import Sequence
from typing import Any

from nst import PreparedPair, Stylizer
from nst.result import Result
from pipeline.engines.local import LocalEngine
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing


class Stuck(Stylizer):
    """Never finishes a batch."""

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        threading.Event().wait()
        raise AssertionError("unreachable")


def stuck_engine(settings: Settings, stores: Stores, timing: Timing) -> LocalEngine:
    """The local engine with a stylizer that is stuck."""
    return LocalEngine(settings, stores, timing, lambda s: Stuck(s.weights, s.device, s.dtype))
