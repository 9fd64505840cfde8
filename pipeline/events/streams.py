"""Output streams that may be closed while the program runs."""

from contextlib import suppress
from typing import Any, TextIO


class Forgiving:
    """A stream that ignores write errors, because work continues when the pipe or terminal is closed."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def __getattr__(self, name: str) -> Any:
        return getattr(self._out, name)

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._out.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._out.flush()
