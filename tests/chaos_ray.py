"""Kills actors, nodes and owners of a Ray cluster at random moments, and judges what is left.

Each row of the table is about one kind of process. While processes of this kind are killed, runners with
`--engine ray` work on manifests, one runner after the other. Manifests that have failed because three actors
in a row have died with one pair are retried. In the end every manifest must be done. Each actor signs its
results: picture, loss log and record carry a number that no other process has.

The violations that are counted:
  lost     a manifest is not done, or a pair has no result
  mixed    a record stands beside a picture or a loss log of another process
  twice    a pair was published twice
  exit     a runner ended with an exit code that is not allowed

python -m tests.chaos_ray [KILLS] [SEED]

KILLS is the number of actors; a quarter as many nodes and owners are killed.
"""

import os
import random
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from subprocess import TimeoutExpired
from typing import ClassVar, Protocol

from manifests.demo_s3 import server
from pipeline.inbox.inbox import Inbox
from pipeline.stores.aws import connect
from tests.campaign import begin, end, print_row
from tests.pipeline.box import Box, in_bucket, in_folder
from tests.pipeline.signed import check_signatures
from tests.process import Event, Runner
from tests.ray_cluster import Node, cluster

MANIFESTS, PAIRS = ("a", "b", "c"), [f"p{number}" for number in range(200)]
TIMING = {"settled": 0.0, "lease": 4.0, "lease_renewal": 1.0, "lock_renewal": 1.0, "ray_refused": 0.5}
_EXITS = (0, 1, -signal.SIGKILL)
_ACTOR = b"ray::Actor"  # the title that Ray gives to the process of an actor


class Harm(Protocol):
    """Kills something now and then."""

    seconds: float  # between two kills, at most; and from the first pair of a runner to the first kill
    runner: Runner  # that works now

    def kill(self) -> bool:
        """Kill one process, if there is one of this kind now."""


class Actors:
    """Kills actors."""

    seconds = 2.0
    runner: Runner

    def __init__(self, address: str, chance: random.Random) -> None:
        self._chance = chance

    def kill(self) -> bool:
        """Kill any actor that has a process."""
        processes = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
        if not (actors := [process for process in processes if _is_actor(process)]):
            return False
        os.kill(self._chance.choice(actors), signal.SIGKILL)
        return True


def _is_actor(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(_ACTOR)
    return False


class Nodes:
    """Kills the second node of the cluster, and adds another one."""

    seconds = 10.0  # a new node needs some until it has an actor
    runner: Runner

    def __init__(self, address: str, chance: random.Random) -> None:
        self._address = address
        self._node = Node(address)

    def kill(self) -> bool:
        """Take the node away."""
        self._node.kill()
        self._node = Node(self._address)
        return True


class Owners:
    """Kills the runner."""

    seconds = 4.0
    runner: Runner

    def __init__(self, address: str, chance: random.Random) -> None:
        pass

    def kill(self) -> bool:
        """Kill it; nothing else of it is left to end its actors."""
        self.runner.process.kill()
        return True


@dataclass
class Row:
    """What was done to runners in all boxes of one row. `found` has the violations, by kind."""

    KINDS: ClassVar = ("lost", "mixed", "twice", "exit")

    harm: Harm
    address: str
    chance: random.Random
    killed: int = 0
    retried: int = 0
    boxes: int = 0
    found: dict[str, list[str]] = field(default_factory=lambda: {kind: [] for kind in Row.KINDS})

    def work(self, make: Callable[[], Box], kills: int) -> None:
        """Fill boxes and let runners work on them, until so many processes were killed."""
        while self.killed < kills:
            box, events = make(), list[Event]()
            box.fill(MANIFESTS, PAIRS)
            self.boxes += 1
            while box.left():
                events += self._run(box)
                self._retry(box)
            self._judge(box, events)

    def _run(self, box: Box) -> Sequence[Event]:
        """Run one runner to its end, whatever that is; its log."""
        command = ["watch", "--inbox", box.inbox.url, "--outbox", box.outbox.url, "--once", "--engine", "ray"]
        if box.endpoint_url:
            command += ["--endpoint-url", box.endpoint_url]
        with Runner(*command, "--ray-address", self.address, timing=TIMING, engine="signed") as runner:
            self.harm.runner = runner
            while runner.begins() and not _ended(runner, self.chance.uniform(0, self.harm.seconds)):
                self.killed += self.harm.kill()
            code = runner.finish()
        if code not in _EXITS:
            self.found["exit"].append(f"{box.inbox.url}: exit code {code}")
        return runner.events

    def _retry(self, box: Box) -> None:
        """Retry what has failed because of deaths; anything else that has failed is lost."""
        for name, error in Inbox(box.inbox).status().failed.items():
            if "died" not in error:
                self.found["lost"].append(f"{box.inbox.url} {name} has failed: {error}")
            self.retried += 1
            Inbox(box.inbox).retry(name)

    def _judge(self, box: Box, events: Sequence[Event]) -> None:
        for name in MANIFESTS:
            if f"{name}.json" not in box.names("done"):
                self.found["lost"].append(f"{box.inbox.url} {name}")
            results = box.results(name)
            for key in (f"{name}/{pair}" for pair in PAIRS):
                if key not in results:
                    self.found["lost"].append(f"{box.outbox.url} {key}")
                    continue
                try:
                    check_signatures(box.outbox, key)
                except Exception as error:
                    self.found["mixed"].append(f"{box.outbox.url} {key}: {error!r}")
        done = Counter((each["manifest"], each["pair"]) for each in events if each["event"] == "pair done")
        self.found["twice"] += [f"{box.outbox.url} {key}" for key, times in done.items() if times > 1]


def _ended(runner: Runner, seconds: float) -> bool:
    """Whether a runner ends within so many seconds."""
    with suppress(TimeoutExpired):
        runner.process.wait(seconds)
        return True
    return False


def main() -> None:
    """Print the table."""
    kinds: list[tuple[str, float, Callable[[str, random.Random], Harm]]]
    kinds = [("actors", 1.0, Actors), ("nodes", 0.25, Nodes), ("owners", 0.25, Owners)]
    kills, seed = begin(200, ["place", "killed", "number", "retried", "pairs", *Row.KINDS])
    bad = list[str]()
    with tempfile.TemporaryDirectory() as root, server(Path(root)) as endpoint:
        bucket = partial(in_bucket, Path(root), connect("s3", endpoint))
        for place, make in (("folder", partial(in_folder, Path(root))), ("bucket", bucket)):
            for name, share, harm in kinds:
                with cluster(2) as address:
                    chance = random.Random(seed)
                    row = Row(harm(address, chance), address, chance)
                    row.work(make, int(kills * share))
                pairs = row.boxes * len(MANIFESTS) * len(PAIRS)
                counts = [row.killed, row.retried, pairs, *(len(row.found[kind]) for kind in Row.KINDS)]
                print_row([place, name, *counts])
                bad += [f"{kind}: {text}" for kind in Row.KINDS for text in row.found[kind]]
    end(bad)


if __name__ == "__main__":
    main()
