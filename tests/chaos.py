"""Ends and pauses runners at random moments, many times, while people use the inbox, and judges what is left.

Each process signs its results: picture, loss log and record carry a number that no other process has. While
runners are killed, stopped, stopped twice and paused for longer than a lease, manifests of the same names are
uploaded again, cancelled and retried. In the end, every manifest must be done as it was uploaded last.

The violations that are counted:
  lost     a manifest or a result is missing, or is that of an earlier document of this name
  mixed    a record stands beside a picture or a loss log of another process
  twice    a pair of one document was published twice, although no runner was paused
  exit     a runner ended with an exit code that is not allowed

python -m tests.chaos [KILLS] [SEED] [RUNNERS]

RUNNERS is how many work on a box; without it, each place has a campaign with one and a campaign with four.
"""

import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from manifests.demo_s3 import server
from nst import Stylizer
from pipeline.stores.aws import connect
from tests.campaign import begin, end, print_row
from tests.faulty import STALL, proxy, retries_at_once
from tests.pipeline.box import BRIEF, Box, in_bucket, in_folder
from tests.pipeline.hazards import Hazards
from tests.pipeline.people import People
from tests.pipeline.signed import Signed
from tests.pipeline.verdict import Verdict

ROUNDS = 6  # of ending all runners of a box, before one runner finishes the rest
BAD = 0.3  # share of requests that fail on the bad network
ENOUGH = 100  # maximum of runners that finish the rest of a box; these are not ended


@dataclass(frozen=True)
class Place:
    """How boxes are made, the maximum lifetime of their runners in seconds, and the share of all kills."""

    name: str
    make: Callable[[], Box]
    span: float
    share: float = 1.0


def campaign(place: Place, stylizer: Stylizer, runners: int, kills: int, chance: random.Random) -> Verdict:
    """Fill boxes, run `runners` runners on each while ending them, and judge what is left."""
    verdict = Verdict()
    while verdict.counts["SIGKILL"] < kills * place.share:
        box = place.make()
        people = People(box, chance, verdict.counts)
        hazards = Hazards(place.span, box.timing.lease, chance, verdict)
        people.fill()
        for _ in range(ROUNDS):
            if box.left() and verdict.counts["SIGKILL"] < kills * place.share:
                hazards.end_all(box, stylizer, runners, people)
                verdict.judge_halves(box)
        finish(box, stylizer, people, verdict)
        verdict.judge(box, people, hazards.paused)
    return verdict


def finish(box: Box, stylizer: Stylizer, people: People, verdict: Verdict) -> None:
    """Run runners that are not ended, and retry what was set aside or cancelled, until all is done."""
    for _ in range(ENOUGH):
        if not box.left():
            failed = people.retry_all()
            for name, error in failed.items():
                verdict.check_failure(box, name, error)
            if not failed:
                return
        verdict.check_exit(os.waitstatus_to_exitcode(box.work(stylizer)))


@contextmanager
def places(root: Path) -> Iterator[list[Place]]:
    """A folder, a bucket, and the same bucket through a bad network, which only the runners use."""
    with server(root) as direct, proxy(direct) as (through, network):
        network.rate = BAD
        bucket = partial(in_bucket, root, connect("s3", direct))
        impatient = replace(BRIEF, read_timeout=STALL / 2)  # for the runners only, not for the checks
        with retries_at_once():
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
    signed, bad = Signed(Stylizer(device="cpu", dtype="fp32")), list[str]()
    kills, seed = begin(500, ["place", "runners", *Verdict.COUNTED, *Verdict.KINDS])
    numbers = [int(text) for text in sys.argv[3:4]] or [1, 4]
    with tempfile.TemporaryDirectory() as root, places(Path(root)) as found:
        for place in found:
            for runners in numbers:
                verdict = campaign(place, signed, runners, kills, random.Random(seed))
                bad += verdict.violations()
                print_row([place.name, runners, *verdict.row()])
    end(bad)


if __name__ == "__main__":
    main()
