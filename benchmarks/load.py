"""Processes many manifests and many pairs, checks that nothing is left, and measures what grows.

python -m benchmarks.load
"""

import json
import os
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from manifests.demo_s3 import BUCKET, server
from nst import PreparedPair, Stylizer
from nst.result import Evaluation, Losses, Result
from pipeline.events.listener import Event, PairDone
from pipeline.events.log import JsonLines
from pipeline.stores.aws import connect
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store
from tests.conftest import SHALLOW, make_png
from tests.pipeline.box import Instant

SAMPLES = 40  # of this process, during a load
EVALUATIONS = 200  # that a pair of ten epochs takes, about


@dataclass(frozen=True)
class Load:
    """A number of manifests with a number of pairs each.

    The pairs are optimised, or each content is returned as the result, with a loss curve.
    """

    place: str
    manifests: int
    pairs: int
    optimised: bool = False


LOADS = (
    Load("folder", 1, 100_000),
    Load("folder", 10_000, 1),
    Load("folder", 1, 2_000, optimised=True),
    Load("bucket", 5_000, 1),
    Load("bucket", 1, 5_000),
)


class GivenBack(Instant):
    """Returns the content as the result, with a loss curve as long as that of ten epochs."""

    def run(
        self, pairs: Sequence[PreparedPair], on_evaluation: Any = None, previews: Any = None
    ) -> list[Result]:
        return [replace(result, evaluations=_CURVE) for result in super().run(pairs)]


_CURVE = [
    Evaluation(step, EVALUATIONS, 512, Losses(1.0, 1e4 / step, 0.0, 1.0 + 1e4 / step), 0.1)
    for step in range(1, EVALUATIONS + 1)
]


class Gauge(JsonLines):
    """Samples this process during the work: pairs done, bytes of memory, open files, threads."""

    def __init__(self, out: Path, pairs: int) -> None:
        super().__init__(out.open("w"))
        self.samples: list[tuple[int, int, int, int]] = []
        self._pairs, self._every = 0, max(1, pairs // SAMPLES)

    def hear(self, event: Event) -> None:
        """Log the event, and take a sample at regular numbers of pairs."""
        super().hear(event)
        if not isinstance(event, PairDone):
            return
        self._pairs += 1
        if self._pairs % self._every == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            files = len(os.listdir("/proc/self/fd"))
            self.samples.append(
                (self._pairs, pages * os.sysconf("SC_PAGE_SIZE"), files, threading.active_count())
            )

    def row(self) -> list[str]:
        """Memory, its growth over the second half, and files and threads at half time and at the end."""
        half, last = self.samples[len(self.samples) // 2], self.samples[-1]
        slope = (last[1] - half[1]) / (last[0] - half[0])
        return [
            f"{last[1] / 2**20:.0f}",
            f"{slope:.0f}",
            f"{half[2]} / {last[2]}",
            f"{half[3]} / {last[3]}",
        ]


def measure(load: Load, stylizer: Stylizer, inbox: Store, outbox: Store, stores: Stores) -> str:
    """Process a load, and check that all of it is done; a row of the table.

    A single manifest is put back and processed again, which computes nothing.
    """
    inbox.write("a.png", make_png(16, 16))
    pair = {"content": "a.png", "style": "a.png", "max_size": 16, "epochs": 1, **SHALLOW}
    listed = [{**pair, "id": f"p{number}"} for number in range(load.pairs)]
    for number in range(load.manifests):
        inbox.write(f"m{number}.json", json.dumps({"pairs": listed}).encode())
    count = load.manifests * load.pairs
    with tempfile.TemporaryDirectory() as folder:
        gauge = Gauge(Path(folder, "log"), count)
        used = stylizer if load.optimised else GivenBack(stylizer)
        seconds = seconds_for(inbox, outbox, gauge, stores=stores, make=lambda settings: used)
        again = "-"
        if load.manifests == 1:
            inbox.move("done/m0.json", "m0.json")
            with Path(folder, "again").open("w") as log:
                listener = JsonLines(log)
                took = seconds_for(inbox, outbox, listener, stores=stores, make=lambda settings: used)
            again = f"{1000 * took / count:.2f}"
            lines = Path(folder, "again").read_text().splitlines()
            assert sum(json.loads(line)["event"] == "pair done already" for line in lines) == count
        events = [json.loads(line)["event"] for line in Path(folder, "log").read_text().splitlines()]
    ended = [len(list(inbox.entries(state))) for state in ("", "processing", "done", "failed")]
    assert ended == [1, 0, load.manifests, 0]  # the image is left
    assert events.count("pair done") == count
    kind = "optimised" if load.optimised else "given back"
    cells = [
        load.place,
        load.manifests,
        load.pairs,
        kind,
        f"{1000 * seconds / count:.1f}",
        again,
        *gauge.row(),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print the table."""
    print(f"Measured on: {describe()}; SeaweedFS on the same machine\n")
    columns = ["place", "manifests", "pairs each", "", "ms a pair", "ms a pair, done before", "MiB"]
    columns += ["bytes more a pair", "open files", "threads"]
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    stylizer = Stylizer(device="cpu", dtype="fp32")
    with tempfile.TemporaryDirectory() as root, server(Path(root)) as endpoint_url:
        client = connect("s3", endpoint_url)
        for number, load in enumerate(LOADS):
            inbox, outbox = (
                FolderStore(Path(root, f"{number}", name))
                if load.place == "folder"
                else S3Store(f"s3://{BUCKET}/{number}/{name}", client)
                for name in ("in", "out")
            )
            inbox.make()
            outbox.make()
            print(measure(load, stylizer, inbox, outbox, Stores(endpoint_url)), flush=True)


if __name__ == "__main__":
    main()
