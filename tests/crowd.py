"""Many clients send requests to an HTTP door while it and a runner are killed; judges what is left.

Some clients leave before they have their picture, some send a part of a request only, and some put manifests
into the inbox. One that gets no answer sends its request again with the same `Idempotency-Key`. In the first
phase, the door or a runner beside it is killed every few seconds. In the second one, of the same length,
nothing is killed; memory and open files of the door are measured after a quarter of it and at its end.

The violations that are counted:
  lost     a job that was accepted is not done in the end, or one failed
  twice    a pair was published twice, although nothing was killed
  halves   a file of a result is missing or cannot be read
  wrong    an answer is none of those that a client must expect

python -m tests.crowd [SECONDS] [SEED]
"""

import asyncio
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from manifests.demo_s3 import BUCKET, server
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.layout import is_request
from pipeline.outbox.outbox import Outbox
from pipeline.stores.base import Store
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from tests.campaign import begin, end, print_row
from tests.pipeline.server.clients import PAIRS, Clients
from tests.process import Event, Runner, free_port

CLIENTS = 200
TIMING = {
    "lease": 3.0,
    "lease_renewal": 0.75,
    "scan_bucket": 1.0,
    "look_bucket": 0.5,
    "look_bucket_last": 2.0,
}
COUNTED = ("pictures", "later", "refused", "cut off", "left", "manifests", "doors killed", "runners killed")
VIOLATIONS = ("lost", "twice", "halves", "wrong")
_PATIENCE = 900  # seconds that the rest of the work may take after the last request


class Processes:
    """A door with a runner, and a runner beside it."""

    def __init__(self, arguments: Sequence[str | Path], port: int) -> None:
        self._arguments, self._port = arguments, port
        self.door, self.runner = self._start("serve"), self._start("watch")
        self.door.wait_for("watching")

    def _start(self, command: str) -> Runner:
        port = ["--port", str(self._port)] if command == "serve" else []
        return Runner(command, *self._arguments, *port, timing=TIMING, engine="fake")

    async def kill(self, chance: random.Random, counts: Counter[str], seconds: float) -> None:
        """Kill the door or the runner every few seconds, and start it again."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(1 + 6 * chance.random())
            if chance.random() < 0.5:
                await asyncio.to_thread(self.door.kill)
                self.door = self._start("serve")
                counts["doors killed"] += 1
            else:
                await asyncio.to_thread(self.runner.kill)
                self.runner = self._start("watch")
                counts["runners killed"] += 1

    def use(self) -> tuple[int, int]:
        """MiB of memory and open files of the door."""
        process = Path("/proc", str(self.door.process.pid))
        pages = int((process / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") >> 20, len(os.listdir(process / "fd"))

    def close(self) -> list[Event]:
        """Stop both; what the last two have logged."""
        for runner in (self.door, self.runner):
            runner.process.terminate()
            runner.finish()
        return [*self.door.events, *self.runner.events]


def judge(clients: Clients, inbox: Store, outbox: Store) -> None:
    """Compare what was accepted with what is in inbox and outbox."""
    status = Inbox(inbox, Timing()).status()
    ended = set(status.done)
    lost = (clients.accepted - ended) | {*status.waiting, *status.processing, *status.failed}
    halves = []
    for name in ended:
        for pair in ["picture"] if is_request(name) else PAIRS:
            try:
                _check(inbox, outbox, name, pair)
            except Exception as error:
                halves.append(f"{name}/{pair}: {error!r}")
    clients.counts["lost"] += len(lost)
    clients.counts["halves"] += len(halves)
    clients.remarks += [f"lost: {name}" for name in sorted(lost)] + [f"halves: {text}" for text in halves]


def _check(inbox: Store, outbox: Store, name: str, pair: str) -> None:
    """Raises an error if a file of a result is missing or cannot be read."""
    record = Outbox(outbox).record(name, pair)
    assert record is not None
    assert json.loads(outbox.read(f"{name}/{pair}.loss.jsonl", 2**20))
    for image in (record.content, *record.styles):
        inbox.read(image.reference, 2**20)
    with tempfile.TemporaryFile() as file:
        file.write(outbox.read(f"{name}/{record.picture}", 2**20))
        with Image.open(file) as picture:
            picture.load()


async def visit(
    arguments: Sequence[str | Path], inbox: Store, seconds: float, seed: int
) -> tuple[Clients, list[int]]:
    """Both phases, and the rest of the work; the clients, and what the door used in the second phase."""
    port = free_port()
    clients = Clients(f"http://127.0.0.1:{port}", random.Random(seed))
    processes = Processes(arguments, port)
    killing = processes.kill(clients.chance, clients.counts, seconds)
    await asyncio.gather(clients.visit(CLIENTS, seconds), killing)
    processes.close()
    processes = Processes(arguments, port)
    visiting = asyncio.create_task(clients.visit(CLIENTS, seconds))
    await asyncio.sleep(seconds / 4)
    early = processes.use()
    await visiting
    late = processes.use()
    for _ in range(_PATIENCE):
        status = Inbox(inbox, Timing()).status()
        if not status.waiting and not status.processing:
            break
        await asyncio.sleep(1)
    published = Counter((e["manifest"], e["pair"]) for e in processes.close() if e["event"] == "pair done")
    twice = [pair for pair, number in published.items() if number > 1]
    clients.counts["twice"] += len(twice)
    clients.remarks += [f"twice: {pair}" for pair in twice]
    return clients, [early[0], late[0], early[1], late[1]]


def main() -> None:
    """Print the table, and what was wrong."""
    seconds, seed = begin(600, ["place", *COUNTED, *VIOLATIONS, "MiB", "open files"])
    remarks: list[str] = []
    with tempfile.TemporaryDirectory() as root, server(Path(root)) as endpoint_url:
        for place, base in (("folder", root), ("bucket", f"s3://{BUCKET}")):
            stores = Stores(endpoint_url, Timing())
            inbox, outbox = (stores.open(f"{base}/{name}") for name in ("in", "out"))
            inbox.make()
            outbox.make()
            arguments = ["--inbox", inbox.url, "--outbox", outbox.url, "--endpoint-url", endpoint_url]
            clients, use = asyncio.run(visit(arguments, inbox, seconds, seed))
            judge(clients, inbox, outbox)
            remarks += clients.remarks
            numbers = [clients.counts[name] for name in (*COUNTED, *VIOLATIONS)]
            print_row([place, *numbers, f"{use[0]} / {use[1]}", f"{use[2]} / {use[3]}"])
    end(remarks)


if __name__ == "__main__":
    main()
