"""Measures how busy the device is with a slow bucket, and how many requests a pair needs."""

import io
import json
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from PIL import Image

from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from manifests.demo_s3 import BUCKET, server
from nst import PreparedPair, PreviewCallbacks, Stylizer
from nst.result import Evaluation, Losses, OnEvaluation, Result
from pipeline.events.log import JsonLines
from pipeline.stores.aws import connect
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store

PAIRS, SECONDS, LATENCY, SIZE = 40, 2.0, 0.05, 512


class Device(Stylizer):
    """Simulates a GPU that needs two seconds for each picture."""

    busy = 0.0

    def run(
        self,
        pairs: Sequence[PreparedPair],
        on_evaluation: OnEvaluation = lambda index, evaluation: None,
        previews: PreviewCallbacks | None = None,
    ) -> list[Result]:
        """One result for each pair, after `SECONDS` for each."""
        losses = Losses(1.0, 1.0, 0.0, 2.0)
        evaluation = Evaluation(step=1, steps=1, scale=SIZE, losses=losses, seconds=SECONDS)
        time.sleep(SECONDS * len(pairs))
        Device.busy += SECONDS * len(pairs)
        return [Result(pair.contents[-1], losses, 1e6, [evaluation], SECONDS) for pair in pairs]


def measure(endpoint_url: str, manifests: int) -> tuple[float, Counter[str]]:
    """Process all pairs, spread over manifests; the share of time the device was busy, and the requests."""
    client, folder = connect("s3", endpoint_url), uuid4().hex
    inbox, outbox = (S3Store(f"s3://{BUCKET}/{folder}/{name}", client) for name in ("in", "out"))
    for name in ["style", *map(str, range(PAIRS))]:
        image = io.BytesIO()
        Image.effect_noise((SIZE, SIZE), 80).convert("RGB").save(image, "PNG")
        inbox.write(f"images/{name}.png", image.getvalue())
    pairs = [
        {"content": f"images/{n}.png", "style": "images/style.png", "max_size": SIZE} for n in range(PAIRS)
    ]
    for number in range(manifests):
        inbox.write(f"{number}.json", json.dumps({"pairs": pairs[number::manifests]}).encode())

    requests, lock = Counter[str](), threading.Lock()

    def delay(event_name: str, **_: Any) -> None:
        with lock:
            requests[event_name.rsplit(".", 1)[-1]] += 1
        time.sleep(LATENCY)

    client.meta.events.register("before-send.s3", delay)
    stores = Stores(endpoint_url, client=client)
    Device.busy = 0.0
    with tempfile.TemporaryFile("w") as log:
        seconds = seconds_for(
            inbox, outbox, JsonLines(log), stores=stores, make=lambda settings: Device(device=settings.device)
        )
    return Device.busy / seconds, requests


def main() -> None:
    """Print the table."""
    print(f"Measured on: {describe()}; SeaweedFS on the same machine\n")
    print(f"{PAIRS} pairs of {SECONDS:.0f} s, {LATENCY * 1000:.0f} ms a request:\n")
    print("| manifests | device busy | requests | by kind |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder, server(Path(folder)) as endpoint_url:
        totals = []
        for manifests in (1, PAIRS):
            busy, requests = measure(endpoint_url, manifests)
            kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(requests.items()))
            print(f"| {manifests} | {busy:.1%} | {requests.total()} | {kinds} |", flush=True)
            totals.append(requests.total())
    per_manifest = (totals[1] - totals[0]) / (PAIRS - 1)
    print(f"\n{(totals[0] - per_manifest) / PAIRS:.1f} requests a pair, {per_manifest:.1f} a manifest.")


if __name__ == "__main__":
    main()
