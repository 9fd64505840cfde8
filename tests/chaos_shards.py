"""Kills each of some shards once, at a random write, while all of them work, and judges what is left.

All shards of one manifest begin together, and each dies just before one of its writes. Then all are started
again, and must end by themselves. Each process signs its results: picture, loss log and record carry a number
that no other process has.

The violations that are counted:
  lost     a pair has no result, or the page does not show it
  mixed    a record stands beside a picture or a loss log of another process
  twice    a pair was published twice, or its record was there and was replaced
  exit     a process was not killed, or one of the second start did not end with 0

python -m tests.chaos_shards [ROUNDS] [SEED] [SHARDS]
"""

import json
import os
import random
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from manifests.demo_s3 import server
from nst import Stylizer
from pipeline.engines.local import LocalEngine
from pipeline.events.log import JsonLines
from pipeline.manifest.shard import Shard
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.aws import connect
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores
from pipeline.work import watch
from pipeline.work.session import Session
from tests.campaign import begin, end, print_row
from tests.conftest import make_png
from tests.pipeline.box import BROKEN, Box, in_bucket, in_folder
from tests.pipeline.signed import LIMIT, Signed
from tests.pipeline.verdict import Violations

SHARDS, EACH = 16, 3  # pairs of each
# The last shard that begins writes three files for each of its three pairs, at least.
LAST = 9
_WRITES = ("write", "replace", "move", "remove")


class Dying:
    """An outbox whose process is killed before its n-th write."""

    def __init__(self, number: int, store: Store) -> None:
        self._store, self._left = store, number

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)
        return partial(self._counted, method) if name in _WRITES else method

    def _counted(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self._left -= 1
        if not self._left:
            os.kill(os.getpid(), signal.SIGKILL)
        return method(*arguments, **named)


@dataclass
class Round:
    """One manifest, and what was found out about its results."""

    box: Box
    folder: Path  # with the manifest and its images
    shards: int
    killed: int = 0
    found: Violations = field(default_factory=Violations)

    def run(self, stylizer: Stylizer, chance: random.Random) -> None:
        """Kill all shards, start them again, and judge."""
        self._write_manifest()
        dying = [partial(Dying, chance.randint(1, LAST)) for _ in range(self.shards)]
        for code in self._start_all(stylizer, dying):
            self.killed += code == -signal.SIGKILL
            if code != -signal.SIGKILL:
                self.found.add("exit", f"{self.box.outbox.url}: exit code {code} where it was to be killed")
        before = self._signatures()
        for code in self._start_all(stylizer, [lambda store: store] * self.shards):
            if code:
                self.found.add("exit", f"{self.box.outbox.url}: exit code {code}")
        self._judge(before, self._signatures())

    def _write_manifest(self) -> None:
        self.folder.mkdir()
        for seed, name in enumerate(("a.png", "b.png")):
            (self.folder / name).write_bytes(make_png(32, 32, seed))
        images = {"content": "a.png", "style": "b.png", "max_size": 32}
        listed = [{"id": f"p{number}", "seed": number, **images} for number in range(EACH * self.shards)]
        (self.folder / "m.json").write_text(json.dumps({"pairs": listed}))

    def _start_all(self, stylizer: Stylizer, seen_as: Sequence[Callable[[Store], Any]]) -> list[int]:
        """Run all shards at the same time; their exit codes. `seen_as` makes the outbox of each."""
        children = []
        for number, outbox_of in enumerate(seen_as, 1):
            child = os.fork()
            if not child:
                try:
                    self._work(stylizer, Shard(number, self.shards), outbox_of)
                except BaseException:
                    traceback.print_exc()
                os._exit(BROKEN)
            children.append(child)
        return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]

    def _work(self, stylizer: Stylizer, shard: Shard, outbox_of: Callable[[Store], Any]) -> None:
        box = self.box
        client = connect("s3", box.endpoint_url, timing=box.timing) if box.endpoint_url else None
        stores = Stores(box.endpoint_url, box.timing, client)
        outbox = Outbox(outbox_of(stores.outbox(box.outbox.url)))
        engine = LocalEngine(Settings(), stores, box.timing, lambda settings: stylizer)
        with box.log.open("a", buffering=1) as log:
            session = Session(JsonLines(log), box.timing)
            code = watch.run([self.folder / "m.json"], engine, outbox, stores, [], session, shard=shard)
        os._exit(code)

    def _signatures(self) -> dict[str, int]:
        """The numbers of the processes that have made the results, by pair."""
        made = {}
        for key in self.box.results("m"):
            if signature := self.found.signature(self.box.outbox, key):
                made[key.removeprefix("m/")], _ = signature
        return made

    def _judge(self, before: dict[str, int], after: dict[str, int]) -> None:
        pairs = [f"p{number}" for number in range(EACH * self.shards)]
        url = self.box.outbox.url
        page = self.box.outbox.read("m/index.html", LIMIT).decode() if self._has_page() else ""
        add = self.found.add
        add("lost", *(f"{url} {pair}" for pair in pairs if pair not in after))
        add("lost", *(f"{url} {pair}: not on the page" for pair in pairs if f'"{pair}.png"' not in page))
        add("twice", *(f"{url} {pair}" for pair, made in before.items() if after.get(pair) != made))
        done = Counter(event["pair"] for event in self.box.events() if event["event"] == "pair done")
        add("twice", *(f"{url} {pair}" for pair, times in done.items() if times > 1))

    def _has_page(self) -> bool:
        return self.box.outbox.tag("m/index.html") is not None


def main() -> None:
    """Print the table."""
    signed, bad = Signed(Stylizer(device="cpu", dtype="fp32")), list[str]()
    shards = int(sys.argv[3]) if len(sys.argv) > 3 else SHARDS
    rounds, seed = begin(20, ["place", "manifests", "shards", "killed", "pairs", *Violations.KINDS])
    with tempfile.TemporaryDirectory() as root, server(Path(root)) as endpoint:
        bucket = partial(in_bucket, Path(root), connect("s3", endpoint))
        for name, make in (("folder", partial(in_folder, Path(root))), ("bucket", bucket)):
            chance = random.Random(seed)
            found = [Round(make(), Path(root) / f"{name}-{number}", shards) for number in range(rounds)]
            for each in found:
                each.run(signed, chance)
            counts = [rounds, rounds * shards, sum(each.killed for each in found), rounds * EACH * shards]
            counts += map(sum, zip(*(each.found.numbers() for each in found), strict=True))
            print_row([name, *counts])
            bad += [text for each in found for text in each.found.violations()]
    end(bad)


if __name__ == "__main__":
    main()
