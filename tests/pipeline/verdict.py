"""Counts what was done to runners, and every violation of what is promised."""

import signal
from collections import Counter
from typing import ClassVar

from pipeline.inbox.inbox import Inbox
from tests.pipeline.box import Box
from tests.pipeline.people import NAMES, PAIRS, People
from tests.pipeline.signed import LIMIT, check_signatures

_EXITS = (0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT)
_FAILURES = ("have died with", "have died while they worked on this pair", "cancelled by hand")


class Verdict:
    """What has happened in all boxes of one campaign. See `tests.chaos` for the violations."""

    COUNTED: ClassVar = (
        *("SIGKILL", "SIGTERM", "signalled twice", "paused"),
        *("uploads", "cancelled", "retried", "manifests", "set aside"),
    )
    VIOLATIONS: ClassVar = ("lost", "mixed", "twice", "exit")

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._found: dict[str, list[str]] = {kind: [] for kind in self.VIOLATIONS}

    def row(self) -> list[str]:
        """The cells of the table, in the order of `COUNTED` and `VIOLATIONS`."""
        counts = [self.counts[name] for name in self.COUNTED]
        return [str(count) for count in [*counts, *map(len, self._found.values())]]

    def violations(self) -> list[str]:
        """A description of each."""
        return [f"{kind}: {text}" for kind, texts in self._found.items() for text in texts]

    def check_exit(self, code: int) -> None:
        """Check how a runner has ended."""
        if code not in _EXITS:
            self._found["exit"].append(f"exit code {code}")

    def check_failure(self, box: Box, name: str, error: str) -> None:
        """Check that a manifest has failed because of deaths, or because somebody has cancelled it."""
        self.counts["set aside"] += "died" in error
        if not any(cause in error for cause in _FAILURES):
            self._found["lost"].append(f"{box.inbox.url} {name} has failed: {error}")

    def judge_halves(self, box: Box) -> None:
        """Check at any moment that records agree with their files, and that every manifest is somewhere."""
        for name in NAMES:
            for key in box.results(name):
                try:
                    check_signatures(box.outbox, key)
                except Exception as error:
                    self._found["mixed"].append(f"{box.outbox.url} {key}: {error!r}")
        status = Inbox(box.inbox).status()
        found = {*status.waiting, *status.processing, *status.done, *status.failed}
        self._found["lost"] += [f"{box.inbox.url} {name}" for name in NAMES if name not in found]

    def judge(self, box: Box, people: People, paused: int) -> None:
        """Check in the end that every manifest is done as it was uploaded last."""
        self.counts["manifests"] += len(NAMES)
        self.judge_halves(box)
        for name in NAMES:
            place = f"{box.inbox.url} {name}"
            if f"{name}.json" not in box.names("done"):
                self._found["lost"].append(f"{place} is not done")
            elif box.inbox.read(f"done/{name}.json", LIMIT) != people.document(name):
                self._found["lost"].append(f"{place} is an earlier document")
            self._judge_results(box, name, people.version[name], PAIRS)
        computed = Counter(
            (event["manifest"], event["pair"], event["total"])
            for event in box.events()
            if event["event"] == "pair done"
        )
        if not paused:
            self._found["twice"] += [f"{box.outbox.url} {key}" for key, n in computed.items() if n > 1]

    def _judge_results(self, box: Box, name: str, version: int, pairs: tuple[str, ...]) -> None:
        results = set(box.results(name))
        for key in [f"{name}/{pair}" for pair in pairs]:
            if key not in results:
                self._found["lost"].append(f"{box.outbox.url} {key}")
                continue
            try:
                _, seed = check_signatures(box.outbox, key)
            except Exception:
                continue  # counted as mixed
            if seed != version:
                self._found["lost"].append(f"{box.outbox.url} {key} is of an earlier document")
