"""What the commands take from outside: clocks, the engine, and whether somebody watches at a terminal."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.engines.base import Engine
from pipeline.engines.making import make_engine
from pipeline.errors import UsageError, needing
from pipeline.events.bars import Bars
from pipeline.events.listener import FanOut, Listener
from pipeline.events.log import JsonLines
from pipeline.settings import Settings
from pipeline.stores.opening import Stores
from pipeline.timing import Timing


@dataclass(frozen=True)
class Environment:
    """The defaults are for production; tests pass shorter intervals and other engines."""

    timing: Timing = Timing()
    engine: Callable[[Settings, Stores, Timing], Engine] = make_engine

    def stores(self, settings: Settings) -> Stores:
        """Opens stores as the settings say."""
        return Stores(settings.endpoint_url, self.timing, alone=settings.alone)

    def listener(self, settings: Settings) -> Listener:
        """Bars at a terminal, JSON lines elsewhere. Metrics, too, where the settings ask for them.

        Raises `UsageError`.
        """
        shown = Bars(sys.stdout) if sys.stdout.isatty() else JsonLines(sys.stdout)
        if not (settings.metrics_file or settings.metrics_port):
            return shown
        sentence = "metrics need the extra 'serve', which is not installed"
        try:
            with needing("serve", ["prometheus_client"], sentence):
                from pipeline.events.export import Exported
            # Metrics come first, so that they include what was logged.
            return FanOut([Exported(settings, self.timing, shown), shown])
        except UsageError:
            shown.close()
            raise
