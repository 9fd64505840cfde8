"""Measures the engine on Ray: how much many actors make, what the owner can publish, and how soon it begins.

python -m benchmarks.ray [ACTORS [PAIRS]]
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

os.environ["NST_DEVICE"] = "cpu"

from tests.ray_cluster import cluster  # first, because it sets the token that Ray reads when it is imported

# isort: split
from benchmarks.machine import describe
from manifests.demo_s3 import BUCKET, server
from pipeline.engines.base import Engine, Task
from pipeline.engines.fake import FakeEngine
from pipeline.engines.ray import RayEngine
from pipeline.events.listener import Listener, ManifestEnded, ManifestStarted
from pipeline.events.previews import Previews
from pipeline.events.recording import RecordingListener
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.settings import Settings
from pipeline.stores.aws import connect
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work.session import Session
from pipeline.work.watch import Watch

SECONDS, LATENCY, SIZE = 2.0, 0.05, 256
START = "from pipeline.start import main; main()"


class Whole(RayEngine):
    """Begins when so many actors work, so that their start is not measured."""

    actors = 1

    def start(self, listener: Listener, on_change: Callable[[], None], previews: Previews) -> None:
        """Start, and wait for the actors."""
        super().start(listener, on_change, previews)
        while self.batch < self.actors:
            time.sleep(0.1)


class Timed(RecordingListener):
    """Knows when work on the manifest began and ended."""

    began = ended = 0.0

    def hear(self, event: object) -> None:
        """Note the time of the two events."""
        if isinstance(event, ManifestStarted):
            self.began = time.monotonic()
        if isinstance(event, ManifestEnded):
            assert not event.problems
            self.ended = time.monotonic()


def slow_stores(endpoint_url: str | None, latency: float) -> Stores:
    """Stores whose requests to the bucket take so many seconds more."""
    if endpoint_url is None:
        return Stores()
    client = connect("s3", endpoint_url)

    def delay(**_: Any) -> None:
        time.sleep(latency)

    client.meta.events.register("before-send.s3", delay)
    return Stores(endpoint_url, client=client)


def measure(
    place: str, endpoint_url: str | None, address: str, actors: int, pairs: int, each: float
) -> float:
    """Pictures a second from one manifest of so many pairs, with `each` seconds of a device for a picture."""
    folder = f"{place}/{uuid4().hex}"
    direct = Stores(endpoint_url)
    store = direct.open(f"{folder}/in")
    store.make()
    for name in ("style", *map(str, range(20))):
        image = io.BytesIO()
        Image.effect_noise((SIZE, SIZE), 80).convert("RGB").save(image, "PNG")
        store.write(f"images/{name}.png", image.getvalue())
    listed = [
        {"id": f"p{n}", "content": f"images/{n % 20}.png", "style": "images/style.png", "seed": n}
        for n in range(pairs)
    ]
    store.write("m.json", json.dumps({"pairs": listed}).encode())

    def make(settings: Settings, stores: Stores, timing: Timing) -> Engine:
        def compute(task: Task) -> None:
            time.sleep(each)

        return FakeEngine(slow_stores(endpoint_url, LATENCY), compute)

    stores, listener = slow_stores(endpoint_url, LATENCY), Timed()
    settings = Settings(ray_address=address, endpoint_url=endpoint_url, device="cpu")
    engine, timing = Whole(settings, stores, Timing(), make), Timing(settled=0.0)
    engine.actors = actors
    session = Session(listener, timing)
    outbox = Outbox(stores.outbox(f"{folder}/out"))
    box = Inbox(stores.inbox(f"{folder}/in"), timing)
    code = Watch(box, engine, outbox, stores, [], Trigger(), session).run(once=True, schedule=None)
    assert code == 0
    return pairs / (listener.ended - listener.began)


def times_of_run(pairs: int, side: int, *arguments: str) -> tuple[float, float]:
    """Seconds that `run` needs until the first of so many pairs begins, and from there to the end."""
    with tempfile.TemporaryDirectory() as folder:
        Image.effect_noise((side, side), 80).convert("RGB").save(Path(folder, "a.png"))
        pair = {"content": "a.png", "style": "a.png", "max_size": side, "epochs": 1}
        manifest = Path(folder, "m.json")
        manifest.write_text(json.dumps({"pairs": [{**pair, "id": f"p{n}", "seed": n} for n in range(pairs)]}))
        command = [sys.executable, "-c", START, "run", str(manifest), "--outbox", f"{folder}/out", *arguments]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            begun = next(time.monotonic() for line in process.stdout if '"pair started"' in line)
            process.stdout.read()
        assert process.returncode == 0
        return begun - start, time.monotonic() - begun


def main(actors: int = 8, pairs: int = 400) -> None:
    """Print the tables."""
    print(f"Measured on: {describe()}; SeaweedFS and Ray on the same machine\n")
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as endpoint_url:
        bucket = f"s3://{BUCKET}"
        print("| actors | pairs | pictures a second | of so many times one actor |\n|---|---|---|---|")
        with cluster(1) as address:
            one = measure(bucket, endpoint_url, address, 1, pairs // 20, SECONDS)
            print(f"| 1 | {pairs // 20} | {one:.3f} | |", flush=True)
        with cluster(actors) as address:
            all_of_them = measure(bucket, endpoint_url, address, actors, pairs, SECONDS)
            share = all_of_them / one / actors
            print(f"| {actors} | {pairs} | {all_of_them:.3f} | {share:.1%} |", flush=True)
            print("\n| outbox | pictures that the owner publishes a second |\n|---|---|")
            for place, url in ((bucket, endpoint_url), (folder, None)):
                most = measure(place, url, address, actors, pairs // 4, each=0.0)
                print(f"| {'bucket, 50 ms a request' if url else 'folder'} | {most:.1f} |", flush=True)
        print("\n| engine | seconds from the command to the first pair | 16 pictures of 128 px, seconds |")
        print("|---|---|---|")
        with cluster(os.cpu_count() or 1) as address:
            joined = ("--engine", "ray", "--ray-address", address)
            for name, arguments in (
                ("local", ()),
                ("ray, joined", joined),
                ("ray, started here", joined[:2]),
            ):
                begin, work = times_of_run(16, 128, *arguments)
                print(f"| {name} | {begin:.1f} | {work:.1f} |", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
