"""Runs the program as a separate process and reads its log."""

import json
import os
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.conftest import QUICK_SETTINGS

Event = dict[str, Any]
_MOST = 180  # seconds between two lines of a log; Ray begins in 40 beside other tests


class Runner:
    """An `nst-pipeline` process and the lines of its log."""

    def __init__(
        self, *arguments: str | Path, timing: Mapping[str, float] | None = None, engine: str = "local"
    ) -> None:
        """Start the process. `timing` has fields of `Timing`; `engine` is a key of `program.ENGINES`."""
        program = [sys.executable, "-m", "tests.program", json.dumps(timing or {}), engine]
        self.process = subprocess.Popen(
            [*program, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **QUICK_SETTINGS},
        )
        self.events: list[Event] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()

    def _read_log(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)
        self._lines.put(None)

    def _next_line(self) -> str | None:
        """The next line of the log; none at its end."""
        try:
            return self._lines.get(timeout=_MOST)
        except queue.Empty:
            raise AssertionError(f"the process is silent after {self.events}") from None

    def wait_for_any(self) -> Event:
        """Wait for the next log line and return it."""
        line = self._next_line()
        assert line is not None, f"the process has ended after {self.events}"
        found: Event = json.loads(line)
        self.events.append(found)
        return found

    def wait_for(self, event: str, **details: str) -> Event:
        """Wait for the next log line with this event and these details, and return it."""
        while True:
            found = self.wait_for_any()
            if found["event"] == event and details.items() <= found.items():
                return found

    def begins(self) -> bool:
        """Wait until work on a pair begins; false if the process ends before."""
        while (line := self._next_line()) is not None:
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == "pair started":
                return True
        self._lines.put(None)  # for `finish`
        return False

    def wait_for_all(self, *events: Mapping[str, str]) -> None:
        """Wait until there has been a log line with the details of each of these, in any order."""
        while not all(any(each.items() <= seen.items() for seen in self.events) for each in events):
            self.wait_for_any()

    def finish(self) -> int:
        """Read the log until the process ends, and return its exit code."""
        while (line := self._next_line()) is not None:
            self.events.append(json.loads(line))
        return self.process.wait(timeout=_MOST)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def count(self, event: str) -> int:
        return sum(e["event"] == event for e in self.events)


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
