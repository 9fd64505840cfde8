"""Many manifests, many pairs: what is left over, and what grows. Pictures are given back as they are.

python -m benchmarks.load
"""

import json
import os
import tempfile
import threading
from pathlib import Path
from unittest import mock

from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from nst import Stylizer
from pipeline.engines import local
from pipeline.outbox import Record
from pipeline.progress import JsonLines
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.box import Instant

EVERY = 500  # pairs


class Gauge(JsonLines):
    """Looks at this process while pairs come out of it: pairs, bytes of memory, open files, threads."""

    def __init__(self, out: Path) -> None:
        super().__init__(out.open("w"))
        self.seen: list[tuple[int, int, int, int]] = []
        self._pairs = 0

    def pair_done(self, manifest: str, record: Record, computed: bool) -> None:
        """Every so many pairs, note how things stand."""
        super().pair_done(manifest, record, computed)
        self._pairs += 1
        if self._pairs % EVERY == 0:
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            files = len(os.listdir("/proc/self/fd"))
            self.seen.append(
                (self._pairs, pages * os.sysconf("SC_PAGE_SIZE"), files, threading.active_count())
            )


def worked_off(stylizer: Stylizer, manifests: int, pairs: int) -> str:
    """A row: so many manifests of so many pairs each, and what they took."""
    with tempfile.TemporaryDirectory() as folder:
        inbox, outbox = FolderStore.make(Path(folder, "in")), FolderStore.make(Path(folder, "out"))
        inbox.write("a.png", make_png(16, 16))
        listed = [{"id": f"p{n}", "content": "a.png", "style": "a.png", "max_size": 16} for n in range(pairs)]
        for number in range(manifests):
            Path(folder, "in", f"m{number}.json").write_text(json.dumps({"pairs": listed}))
        gauge = Gauge(Path(folder, "log"))
        with mock.patch.object(local, "Stylizer", lambda *_: stylizer):
            seconds = seconds_for(inbox, outbox, gauge)
        done, records = len(inbox.entries("done")), len(list(Path(folder, "out").glob("*/p*.json")))
        assert (done, records) == (manifests, manifests * pairs)
    half = gauge.seen[len(gauge.seen) // 2]
    last = gauge.seen[-1]
    slope = (last[1] - half[1]) / (last[0] - half[0])
    cells = [manifests, pairs, f"{1000 * seconds / records:.1f}", f"{last[1] / 2**20:.0f}", f"{slope:.0f}"]
    cells += [f"{half[2]} / {last[2]}", f"{half[3]} / {last[3]}"]
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    """Print the table."""
    print(f"Measured on: {describe()}\n")
    print("| manifests | pairs each | ms a pair | MiB at the end | bytes a pair | open files | threads |")
    print("|---|---|---|---|---|---|---|")
    instant = Instant(Stylizer(device="cpu", dtype="fp32"))
    for manifests, pairs in ((20_000, 1), (1, 10_000)):
        print(worked_off(instant, manifests, pairs), flush=True)


if __name__ == "__main__":
    main()
