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

from manifests.demo_s3 import server
from pipeline.inbox.inbox import Inbox
from pipeline.stores.aws import connect
from tests.campaign import begin, end, print_row
from tests.pipeline.box import Box, in_bucket, in_folder
from tests.pipeline.verdict import Violations
from tests.process import Event, Runner
from tests.ray_cluster import Node, cluster

MANIFESTS, PAIRS = ("a", "b", "c"), [f"p{number}" for number in range(200)]
TIMING = {"settled": 0.0, "lease": 4.0, "lease_renewal": 1.0, "lock_renewal": 1.0, "ray_refused": 0.5}
_EXITS = (0, 1, -signal.SIGKILL)
_ACTOR = b"ray::Actor"  # the title that Ray gives to the process of an actor


Kill = Callable[[Runner], bool]
"""Kills one process of a kind, if there is one now. It gets the runner that works."""


def actors(address: str, chance: random.Random) -> Kill:
    """Kills any actor that has a process."""

    def kill(runner: Runner) -> bool:
        processes = sorted(int(name) for name in os.listdir("/proc") if name.isdecimal())
        if not (actors := [process for process in processes if _is_actor(process)]):
            return False
        os.kill(chance.choice(actors), signal.SIGKILL)
        return True

    return kill


def _is_actor(process: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(_ACTOR)
    return False


def nodes(address: str, chance: random.Random) -> Kill:
    """Takes the second node of the cluster away, and adds another one."""
    node = Node(address)

    def kill(runner: Runner) -> bool:
        nonlocal node
        node.kill()
        node = Node(address)
        return True

    return kill


def owners(address: str, chance: random.Random) -> Kill:
    """Kills the runner; nothing else of it is left to end its actors."""

    def kill(runner: Runner) -> bool:
        runner.process.kill()
        return True

    return kill


@dataclass
class Row:
    """What was done to runners in all boxes of one row.

    `seconds` is the time between two kills, at most; and from the first pair of a runner to the first kill.
    """

    kill: Kill
    seconds: float
    address: str
    chance: random.Random
    killed: int = 0
    retried: int = 0
    boxes: int = 0
    found: Violations = field(default_factory=Violations)

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
        options = ["--once", "--engine", "ray", "--ray-address", self.address]
        with box.watch(*options, timing=TIMING, engine="signed") as runner:
            while runner.begins() and not _ended(runner, self.chance.uniform(0, self.seconds)):
                self.killed += self.kill(runner)
            code = runner.finish()
        if code not in _EXITS:
            self.found.add("exit", f"{box.inbox.url}: exit code {code}")
        return runner.events

    def _retry(self, box: Box) -> None:
        """Retry what has failed because of deaths; anything else that has failed is lost."""
        for name, error in Inbox(box.inbox).status().failed.items():
            if "died" not in error:
                self.found.add("lost", f"{box.inbox.url} {name} has failed: {error}")
            self.retried += 1
            Inbox(box.inbox).retry(name)

    def _judge(self, box: Box, events: Sequence[Event]) -> None:
        for name in MANIFESTS:
            if f"{name}.json" not in box.names("done"):
                self.found.add("lost", f"{box.inbox.url} {name}")
            results = box.results(name)
            for key in (f"{name}/{pair}" for pair in PAIRS):
                if key in results:
                    self.found.signature(box.outbox, key)
                else:
                    self.found.add("lost", f"{box.outbox.url} {key}")
        done = Counter((each["manifest"], each["pair"]) for each in events if each["event"] == "pair done")
        self.found.add("twice", *(f"{box.outbox.url} {key}" for key, times in done.items() if times > 1))


def _ended(runner: Runner, seconds: float) -> bool:
    """Whether a runner ends within so many seconds."""
    with suppress(TimeoutExpired):
        runner.process.wait(seconds)
        return True
    return False


# Each kind with its share of the kills, and with its seconds: a new node needs some until it has an actor.
_KINDS = ((actors, 1.0, 2.0), (nodes, 0.25, 10.0), (owners, 0.25, 4.0))


def main() -> None:
    """Print the table."""
    kills, seed = begin(200, ["place", "killed", "number", "retried", "pairs", *Violations.KINDS])
    bad = list[str]()
    with tempfile.TemporaryDirectory() as root, server(Path(root)) as endpoint:
        bucket = partial(in_bucket, Path(root), connect("s3", endpoint))
        for place, make in (("folder", partial(in_folder, Path(root))), ("bucket", bucket)):
            for kind, share, seconds in _KINDS:
                with cluster(2) as address:
                    chance = random.Random(seed)
                    row = Row(kind(address, chance), seconds, address, chance)
                    row.work(make, int(kills * share))
                pairs = row.boxes * len(MANIFESTS) * len(PAIRS)
                print_row([place, kind.__name__, row.killed, row.retried, pairs, *row.found.numbers()])
                bad += row.found.violations()
    end(bad)


if __name__ == "__main__":
    main()
