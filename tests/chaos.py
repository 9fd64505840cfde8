"""Ends runners at random moments, again and again, and counts what was lost, doubled or torn.

python -m tests.chaos [KILLS] [SEED]
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from unittest import mock

from manifests.demo_s3 import KEYS, server
from nst import Stylizer
from pipeline.inbox.inbox import Inbox
from pipeline.stores.aws import connect
from tests.faulty import STALL, proxy
from tests.pipeline.box import BRIEF, Box, Instant, in_bucket, in_folder
from tests.pipeline.outcome import assert_whole

MANIFESTS, PAIRS = ("a", "b", "c"), ("p0", "p1", "p2")
ROUNDS = 6  # of ends, after which a runner may work off what is left
ASKED = 0.25  # of all ends, the share that comes by SIGTERM
BAD = 0.3  # of all requests, the share that fails on a bad network
ENDS = (0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)  # as a runner may
ENOUGH = 100  # runners that nobody ends, to work off what is left


@dataclass(frozen=True)
class Place:
    """Where boxes are made, for how many seconds their runners live at most, and the share of all kills."""

    name: str
    make: Callable[[], Box]
    span: float
    share: float = 1.0


@dataclass
class Tally:
    """What was tried, and what came of it."""

    kills: int = 0
    stops: int = 0
    manifests: int = 0
    set_aside: int = 0  # three runners in a row had died with it before any pair was done; then retried
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unruly: list[str] = field(default_factory=list)  # runners that ended otherwise than they may


def campaign(place: Place, stylizer: Stylizer, runners: int, kills: int, chance: random.Random) -> Tally:
    """Fill boxes and let so many runners work on each while they are ended; the promises, counted."""
    tally = Tally()
    while tally.kills < kills * place.share:
        box = place.make()
        box.fill(MANIFESTS, PAIRS)
        for _ in range(ROUNDS):
            if box.left():
                end_all(started(box, stylizer, runners), place.span, chance, tally)
                judge_halves(box, tally)
        work_off(box, stylizer, tally)
        for name, error in Inbox(box.inbox).status().failed.items():
            tally.set_aside += 1
            if "have died with" not in error:
                tally.lost.append(f"{box.inbox.url} {name}: {error}")
            Inbox(box.inbox).retry(name)
        work_off(box, stylizer, tally)
        judge(box, tally)
    return tally


def started(box: Box, stylizer: Stylizer, runners: int) -> list[int]:
    """Start runners, and let them go when all are ready to; their process ids."""
    ready, tell = os.pipe()
    wait, go = os.pipe()

    def at_once() -> None:
        os.write(tell, b".")
        os.read(wait, 1)

    children = [box.start(stylizer, at_once) for _ in range(runners)]
    os.close(tell)
    for _ in children:
        os.read(ready, 1)
    os.write(go, bytes(runners))
    for end in (ready, wait, go):
        os.close(end)
    return children


def end_all(children: list[int], span: float, chance: random.Random, tally: Tally) -> None:
    """End runners one after the other at random moments, and count how."""
    for child in children:
        time.sleep(chance.uniform(0, span / len(children)))
        asked = chance.random() < ASKED
        os.kill(child, signal.SIGTERM if asked else signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        tally.kills += code == -signal.SIGKILL
        tally.stops += asked and code not in (0, 1)
        if code not in ENDS:
            tally.unruly.append(f"exit code {code}")


def work_off(box: Box, stylizer: Stylizer, tally: Tally) -> None:
    """Let runners that nobody ends do what is left."""
    for _ in range(ENOUGH):
        if not box.left():
            return
        code = os.waitstatus_to_exitcode(box.work(stylizer))
        if code not in (0, 1):
            tally.unruly.append(f"exit code {code}")


def judge_halves(box: Box, tally: Tally) -> None:
    """A record never stands beside what is not its own, and no manifest is ever nowhere."""
    for name in MANIFESTS:
        for key in box.results(name):
            try:
                assert_whole(box.outbox, key)
            except Exception as error:
                tally.torn.append(f"{box.inbox.url} {key}: {error}")
    states = ("", "processing", "done", "failed")
    found = {name for state in states for name in box.names(state)}
    tally.lost += [f"{box.inbox.url} {name}" for name in MANIFESTS if f"{name}.json" not in found]


def judge(box: Box, tally: Tally) -> None:
    """At the end every manifest is done, and every pair of it was done once."""
    tally.manifests += len(MANIFESTS)
    judge_halves(box, tally)
    done = box.names("done")
    tally.lost += [f"{box.inbox.url} {name} is not done" for name in MANIFESTS if f"{name}.json" not in done]
    wanted = [f"{name}/{pair}" for name in MANIFESTS for pair in PAIRS]
    results = {key for name in MANIFESTS for key in box.results(name)}
    tally.lost += [f"{box.outbox.url} {key}" for key in wanted if key not in results]
    computed = Counter(
        f"{event['manifest']}/{event['pair']}" for event in box.events() if event["event"] == "pair done"
    )
    tally.doubled += [f"{box.outbox.url} {key}" for key, count in computed.items() if count > 1]


@contextmanager
def places(root: Path) -> Iterator[list[Place]]:
    """A folder, a bucket, and the same bucket with a bad network before it for runners."""
    at_once = mock.patch("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with server(root) as direct, proxy(direct) as (through, network):
        network.rate = BAD
        bucket = partial(in_bucket, root, connect("s3", direct))
        impatient = replace(BRIEF, read_timeout=STALL / 2)  # for runners only, not for the judge
        with at_once:
            yield [
                Place("folder", partial(in_folder, root), span=0.15),
                Place("bucket", bucket, span=0.3),
                Place(
                    "bad network",
                    lambda: replace(bucket(), endpoint_url=through, timing=impatient),
                    span=3.0,
                    share=0.2,
                ),
            ]


def main() -> None:
    """Print the table."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    os.environ |= {"AWS_ACCESS_KEY_ID": KEYS["accessKey"], "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"]}
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    instant, bad = Instant(Stylizer(device="cpu", dtype="fp32")), []
    print(f"seed {seed}\n")
    print("| place | runners | SIGKILL | SIGTERM | manifests | lost | doubled | torn | unruly | set aside |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as root, places(Path(root)) as found:
        for place in found:
            for runners in (1, 4):
                tally = campaign(place, instant, runners, kills, random.Random(seed))
                failures = [tally.lost, tally.doubled, tally.torn, tally.unruly]
                bad += [text for failure in failures for text in failure]
                cells = [place.name, runners, tally.kills, tally.stops, tally.manifests, *map(len, failures)]
                print(f"| {' | '.join(map(str, [*cells, tally.set_aside]))} |", flush=True)
    print("\n".join(bad))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
