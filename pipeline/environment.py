"""What the commands take from outside: clocks, the engine, and whether somebody watches at a terminal."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

from pipeline.engines.base import Engine
from pipeline.events.bars import Bars
from pipeline.events.listener import Listener
from pipeline.events.log import JsonLines
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing


def _local_engine(settings: Settings, stores: Stores, timing: Timing) -> Engine:
    # Only when it is needed, because torch takes seconds to import and wrong usage should be reported at
    # once.
    from pipeline.engines.local import LocalEngine

    return LocalEngine(settings, stores, timing)


@dataclass(frozen=True)
class Environment:
    """The defaults are for production; tests pass shorter intervals and other engines."""

    timing: Timing = field(default_factory=Timing)
    engine: Callable[[Settings, Stores, Timing], Engine] = _local_engine

    def stores(self, settings: Settings) -> Stores:
        """Opens stores as the settings say."""
        return Stores(settings.endpoint_url, self.timing, alone=settings.alone)

    def listener(self) -> Listener:
        """Bars at a terminal, JSON lines elsewhere."""
        return Bars(sys.stdout) if sys.stdout.isatty() else JsonLines(sys.stdout)
