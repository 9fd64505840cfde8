"""What a manifest costs beside the optimising: 1,000 manifests of one tiny pair each."""

import json
import tempfile
from pathlib import Path

from PIL import Image

from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from pipeline.progress import JsonLines
from pipeline.stores.folder import FolderStore

COUNT = 1000


def main() -> None:
    """Print milliseconds a manifest, all told and beside the optimising."""
    with tempfile.TemporaryDirectory() as folder:
        inbox, outbox = Path(folder, "inbox"), Path(folder, "outbox")
        inbox.mkdir()
        outbox.mkdir()
        Image.effect_noise((16, 16), 80).convert("RGB").save(inbox / "noise.png")
        pair = {"content": "noise.png", "style": "noise.png", "epochs": 1, "max_size": 16}
        for number in range(COUNT):
            (inbox / f"{number}.json").write_text(json.dumps({**pair, "seed": number}))
        with Path(folder, "log").open("w") as log:
            seconds = seconds_for(FolderStore(inbox), FolderStore(outbox), JsonLines(log))
        records = [json.loads(path.read_text()) for path in outbox.glob("*/*.json")]
        optimising = sum(record["seconds"] for record in records)
        assert len(records) == COUNT
    print(f"Measured on: {describe()}\n")
    print(f"{COUNT} manifests: {seconds:.1f} s, {optimising:.1f} s of it optimising; ")
    print(f"beside it {1000 * (seconds - optimising) / COUNT:.1f} ms a manifest, start-up included.")


if __name__ == "__main__":
    main()
