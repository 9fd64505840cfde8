"""Ends runners at random moments, many times, and counts lost, doubled and torn results.

Lost: a manifest or a result is missing. Doubled: a pair was computed twice. Torn: a record and its
files do not agree. Unruly: a runner ended with an exit code that is not allowed.

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
ROUNDS = 6  # of ending all runners of a box, before one runner finishes the rest
ASKED = 0.25  # share of runners that are ended by SIGTERM, not SIGKILL
BAD = 0.3  # share of requests that fail on the bad network
ENDS = (0, 1, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM)  # allowed exit codes
ENOUGH = 100  # maximum of runners that finish the rest of a box; these are not ended


@dataclass(frozen=True)
class Place:
    """How boxes are made, the maximum lifetime of their runners in seconds, and the share of all kills."""

    name: str
    make: Callable[[], Box]
    span: float
    share: float = 1.0


@dataclass
class Tally:
    """Counts of what was done, and descriptions of every violation."""

    kills: int = 0
    stops: int = 0
    manifests: int = 0
    set_aside: int = 0  # manifests that failed after three deaths in a row; they are retried
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unruly: list[str] = field(default_factory=list)  # exit codes that are not allowed


def campaign(place: Place, stylizer: Stylizer, runners: int, kills: int, chance: random.Random) -> Tally:
    """Fill boxes, run `runners` runners on each while ending them, and count the violations."""
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


def end_all(children: list[int], span: float, chance: random.Random, tally: Tally) -> None:
    """End runners one after the other at random moments, and count signals and wrong exit codes."""
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
    """Run runners without ending them, until all manifests have ended."""
    for _ in range(ENOUGH):
        if not box.left():
            return
        code = os.waitstatus_to_exitcode(box.work(stylizer))
        if code not in (0, 1):
            tally.unruly.append(f"exit code {code}")


def judge_halves(box: Box, tally: Tally) -> None:
    """Check that every record agrees with its files, and that every manifest is in one of the folders."""
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
    """Check that every manifest is done, and that each of its pairs was computed once."""
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
    """A folder, a bucket, and the same bucket through a bad network, which only the runners use."""
    at_once = mock.patch("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    with server(root) as direct, proxy(direct) as (through, network):
        network.rate = BAD
        bucket = partial(in_bucket, root, connect("s3", direct))
        impatient = replace(BRIEF, read_timeout=STALL / 2)  # for the runners only, not for the checks
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
