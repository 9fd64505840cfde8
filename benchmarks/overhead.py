"""Measures the time that is not optimisation: for 1,000 tiny manifests, and for one with ordinary pairs."""

import json
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from pipeline.events.log import JsonLines
from pipeline.stores.folder import FolderStore

TINY = {"count": 1000, "epochs": 1, "max_size": 16}
ORDINARY = {"count": 4, "epochs": 10, "max_size": 256}


def measure(count: int, epochs: int, max_size: int, at_once: bool) -> tuple[float, float]:
    """Process `count` pairs, in one manifest or one each; the seconds, and those of the optimisation."""
    pair = {"content": "noise.png", "style": "noise.png", "epochs": epochs, "max_size": max_size}
    pairs = [{**pair, "id": f"p{number}", "seed": number} for number in range(count)]
    manifests = [pairs] if at_once else [[pair] for pair in pairs]
    with tempfile.TemporaryDirectory() as folder:
        inbox, outbox = (FolderStore(Path(folder, name)) for name in ("inbox", "outbox"))
        inbox.make()
        outbox.make()
        Image.effect_noise((max_size, max_size), 80).convert("RGB").save(inbox.root / "noise.png")
        for number, listed in enumerate(manifests):
            (inbox.root / f"{number}.json").write_text(json.dumps({"pairs": listed}))
        with Path(folder, "log").open("w") as log:
            seconds = seconds_for(inbox, outbox, JsonLines(log))
        records = [json.loads(path.read_text()) for path in outbox.root.glob("*/p*.json")]
    assert len(records) == count
    return seconds, sum(record["seconds"] for record in records)


def main() -> None:
    """Print the overhead of a manifest in milliseconds, and that of ordinary pairs as a share."""
    print(f"Measured on: {describe()}\n")
    seconds, optimising = measure(**TINY, at_once=False)
    beside = 1000 * (seconds - optimising) / TINY["count"]
    print(
        f"{TINY['count']} manifests of a tiny pair: {seconds:.1f} s, {optimising:.1f} s of it optimisation;"
    )
    print(f"the rest is {beside:.1f} ms a manifest, start-up included.")
    seconds, optimising = measure(**ORDINARY, at_once=True)
    print(f"{ORDINARY['count']} pairs of 256 px: {seconds:.1f} s, {optimising:.1f} s of it optimisation;")
    print(f"the rest is {1 - optimising / seconds:.2%}, start-up included.")


if __name__ == "__main__":
    main()
