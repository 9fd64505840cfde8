"""What happens to runners: they are killed, stopped, stopped twice, and paused for longer than a lease."""

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from nst import Stylizer
from pipeline.stores.base import Store
from tests.pipeline.box import Box
from tests.pipeline.people import People
from tests.pipeline.verdict import Verdict

_ASKED = 0.35  # share of runners that are ended by SIGTERM, not SIGKILL
_AGAIN = 0.6  # share of these that get a second signal
_PAUSES = 0.12  # share of rounds in which runners are paused and not ended
_PAUSE_RATE = 0.2  # share of writes before which a runner is paused in such a round
_LAPSE = 2.3  # a lease has lapsed for others after so many times its duration, in whole seconds of a server


class Hazards:
    """Starts the runners of one box together, and ends or pauses them."""

    def __init__(self, span: float, lease: float, chance: random.Random, verdict: Verdict) -> None:
        """Runners live for `span` seconds at most; `lease` is the duration of a lease."""
        self._span, self._lease, self._chance, self._verdict = span, lease, chance, verdict
        self.paused = 0  # runners

    def end_all(self, box: Box, stylizer: Stylizer, runners: int, people: People) -> None:
        """Run so many runners until they have ended, while people use the box."""
        if self._chance.random() < _PAUSES:
            self._pause_all(box, stylizer, runners)
            return
        for child in started(box, stylizer, runners):
            time.sleep(self._chance.uniform(0, self._span / runners))
            people.act()
            self._end(child)

    def _end(self, child: int) -> None:
        counts = self._verdict.counts
        asked = self._chance.random() < _ASKED
        os.kill(child, signal.SIGTERM if asked else signal.SIGKILL)
        if asked and self._chance.random() < _AGAIN:
            time.sleep(self._chance.uniform(0, 0.1))
            os.kill(child, self._chance.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL]))
            counts["signalled twice"] += 1
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        counts["SIGKILL"] += code == -signal.SIGKILL
        counts["SIGTERM"] += asked and code not in (0, 1, -signal.SIGKILL)
        self._verdict.check_exit(code)

    def _pause_all(self, box: Box, stylizer: Stylizer, runners: int) -> None:
        """Pause runners just before they write. Go on when others could take over what they had."""
        children = set(started(replace(box, outbox_of=Pausing), stylizer, runners))
        ended = self._wait_until_ended_or_paused(children)
        stopped = children - ended
        self.paused += len(stopped)
        self._verdict.counts["paused"] += len(stopped)
        if stopped:
            time.sleep(_LAPSE * self._lease if box.endpoint_url else 0)
            self._verdict.check_exit(os.waitstatus_to_exitcode(box.work(stylizer)))
        for child in stopped:
            os.kill(child, signal.SIGCONT)
        for child in stopped:
            self._verdict.check_exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def _wait_until_ended_or_paused(self, children: set[int]) -> set[int]:
        """The children that have ended, once all others are paused."""
        ended = set()
        for child in children:
            _, status = os.waitpid(child, os.WUNTRACED)
            if not os.WIFSTOPPED(status):
                self._verdict.check_exit(os.waitstatus_to_exitcode(status))
                ended.add(child)
        return ended


class Pausing:
    """An outbox whose process is paused, once, before it writes or deletes a file."""

    def __init__(self, store: Store) -> None:
        self._store, self._paused = store, False

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return self._after_pause(method) if name in ("write", "replace", "remove") else method

    def _after_pause(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def paused(*arguments: Any, **named: Any) -> Any:
            if not self._paused and random.SystemRandom().random() < _PAUSE_RATE:
                self._paused = True
                os.kill(os.getpid(), signal.SIGSTOP)
            return method(*arguments, **named)

        return paused


def started(box: Box, stylizer: Stylizer, runners: int) -> list[int]:
    """Start runners that all begin work at the same time; their process ids."""
    ready, report_ready = os.pipe()
    wait, go = os.pipe()

    def at_once() -> None:
        os.write(report_ready, b".")
        os.read(wait, 1)

    children = [box.start(stylizer, at_once) for _ in range(runners)]
    os.close(report_ready)
    for _ in children:
        os.read(ready, 1)
    os.write(go, bytes(runners))
    for end in (ready, wait, go):
        os.close(end)
    return children
