"""Counts what was done to runners, and every violation of what is promised."""

import signal
from collections import Counter
from typing import ClassVar

from pipeline.inbox.inbox import Inbox
from pipeline.stores.base import Store
from tests.pipeline.box import Box
from tests.pipeline.people import NAMES, PAIRS, People
from tests.pipeline.signed import LIMIT, check_signatures

_EXITS = (0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM, 128 + signal.SIGINT)
_FAILURES = ("have died with", "have died while they worked on this pair", "cancelled by hand")


class Violations:
    """What was found that must not happen, by kind. Each program of chaos tells what its kinds mean."""

    KINDS: ClassVar = ("lost", "mixed", "twice", "exit")

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {kind: [] for kind in self.KINDS}

    def add(self, kind: str, *texts: str) -> None:
        """Add descriptions of one kind."""
        self._found[kind] += texts

    def signature(self, outbox: Store, key: str) -> tuple[int, int] | None:
        """The number and the seed of `check_signatures`; none if it finds that files are mixed."""
        try:
            return check_signatures(outbox, key)
        except Exception as error:
            self.add("mixed", f"{outbox.url} {key}: {error!r}")
            return None

    def numbers(self) -> list[int]:
        """How many there are of each kind, in the order of `KINDS`."""
        return [*map(len, self._found.values())]

    def violations(self) -> list[str]:
        """A description of each."""
        return [f"{kind}: {text}" for kind, texts in self._found.items() for text in texts]


class Verdict(Violations):
    """What has happened in all boxes of one campaign. See `tests.chaos` for the violations."""

    COUNTED: ClassVar = (
        *("SIGKILL", "SIGTERM", "signalled twice", "paused"),
        *("uploads", "cancelled", "retried", "manifests", "set aside"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def row(self) -> list[int]:
        """The cells of the table, in the order of `COUNTED` and `KINDS`."""
        return [*(self.counts[name] for name in self.COUNTED), *self.numbers()]

    def check_exit(self, code: int) -> None:
        """Check how a runner has ended."""
        if code not in _EXITS:
            self.add("exit", f"exit code {code}")

    def check_failure(self, box: Box, name: str, error: str) -> None:
        """Check that a manifest has failed because of deaths, or because somebody has cancelled it."""
        self.counts["set aside"] += "died" in error
        if not any(cause in error for cause in _FAILURES):
            self.add("lost", f"{box.inbox.url} {name} has failed: {error}")

    def judge_halves(self, box: Box) -> None:
        """Check at any moment that records agree with their files, and that every manifest is somewhere."""
        for name in NAMES:
            for key in box.results(name):
                self.signature(box.outbox, key)
        status = Inbox(box.inbox).status()
        found = {*status.waiting, *status.processing, *status.done, *status.failed}
        self.add("lost", *(f"{box.inbox.url} {name}" for name in NAMES if name not in found))

    def judge(self, box: Box, people: People, paused: int) -> None:
        """Check in the end that every manifest is done as it was uploaded last."""
        self.counts["manifests"] += len(NAMES)
        self.judge_halves(box)
        for name in NAMES:
            place = f"{box.inbox.url} {name}"
            if f"{name}.json" not in box.names("done"):
                self.add("lost", f"{place} is not done")
            elif box.inbox.read(f"done/{name}.json", LIMIT) != people.document(name):
                self.add("lost", f"{place} is an earlier document")
            self._judge_results(box, name, people.version[name], PAIRS)
        computed = Counter(
            (event["manifest"], event["pair"], event["total"])
            for event in box.events()
            if event["event"] == "pair done"
        )
        if not paused:
            self.add("twice", *(f"{box.outbox.url} {key}" for key, n in computed.items() if n > 1))

    def _judge_results(self, box: Box, name: str, version: int, pairs: tuple[str, ...]) -> None:
        results = set(box.results(name))
        for key in [f"{name}/{pair}" for pair in pairs]:
            if key not in results:
                self.add("lost", f"{box.outbox.url} {key}")
                continue
            try:
                _, seed = check_signatures(box.outbox, key)
            except Exception:
                continue  # counted as mixed
            if seed != version:
                self.add("lost", f"{box.outbox.url} {key} is of an earlier document")
