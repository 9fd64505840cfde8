"""Kills runners at random moments, again and again, and counts what was lost, doubled or torn.

python -m tests.chaos [KILLS] [SEED]
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from manifests.demo_s3 import KEYS, server
from nst import Stylizer
from pipeline.aws import connect
from pipeline.inbox import Inbox
from tests.pipeline.box import Box, Instant, hurried, in_bucket, in_folder
from tests.pipeline.outcome import assert_whole

MANIFESTS, PAIRS = ("a", "b", "c"), ("p0", "p1", "p2")
ROUNDS = 6  # of kills, after which a runner may work off what is left
SPAN = 0.3  # seconds after its beginning, within which a runner is killed


@dataclass
class Tally:
    """What was tried, and what came of it."""

    kills: int = 0
    manifests: int = 0
    set_aside: int = 0  # killed three times in a row before any pair was done; then retried
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)


def campaign(make: Callable[[], Box], stylizer: Stylizer, runners: int, kills: int, seed: int) -> Tally:
    """Fill boxes and let so many runners work on each while they are killed; the promises, counted."""
    tally, chance = Tally(), random.Random(seed)
    while tally.kills < kills:
        box = make()
        box.fill(MANIFESTS, PAIRS)
        for _ in range(ROUNDS):
            if box.left():
                tally.kills += killed(box, stylizer, runners, chance)
                judge_halves(box, tally)
        while box.left():
            box.work(stylizer)
        for name in list(box.names("failed")):
            if not name.endswith(".error.json"):
                tally.set_aside += 1
                Inbox(box.inbox).retry(name)
        while box.left():
            box.work(stylizer)
        judge(box, tally)
    return tally


def killed(box: Box, stylizer: Stylizer, runners: int, chance: random.Random) -> int:
    """Start runners, kill them one after the other at random moments, and say how many died of it."""
    ready, told = os.pipe()
    children = [box.start(stylizer, partial(_tell, told)) for _ in range(runners)]
    os.close(told)
    for _ in children:
        os.read(ready, 1)
    os.close(ready)
    died = 0
    for child in children:
        time.sleep(chance.uniform(0, SPAN / runners))
        os.kill(child, signal.SIGKILL)
        died += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    return died


def _tell(pipe: int) -> None:
    os.write(pipe, b".")


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


def main() -> None:
    """Print the table."""
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    os.environ |= {"AWS_ACCESS_KEY_ID": KEYS["accessKey"], "AWS_SECRET_ACCESS_KEY": KEYS["secretKey"]}
    os.environ["AWS_DEFAULT_REGION"] = "us-east-1"
    instant, bad = Instant(Stylizer(device="cpu", dtype="fp32")), []
    print(f"seed {seed}\n")
    print("| place | runners | kills | manifests | lost | doubled | torn | set aside, then retried |")
    print("|---|---|---|---|---|---|---|---|")
    with hurried(), tempfile.TemporaryDirectory() as root, server(Path(root)) as endpoint_url:
        bucket = partial(in_bucket, Path(root), connect("s3", endpoint_url))
        makers: dict[str, Callable[[], Box]] = {"folder": partial(in_folder, Path(root)), "bucket": bucket}
        for place, make in makers.items():
            for runners in (1, 4):
                tally = campaign(make, instant, runners, kills, seed)
                counts = [len(found) for found in (tally.lost, tally.doubled, tally.torn)]
                bad += [*tally.lost, *tally.doubled, *tally.torn]
                cells = [place, runners, tally.kills, tally.manifests, *counts, tally.set_aside]
                print(f"| {' | '.join(map(str, cells))} |", flush=True)
    print("\n".join(bad))
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
