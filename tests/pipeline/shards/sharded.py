"""Manifests for tests of `run --shard`, and what is read of the log and of the results."""

import json
from pathlib import Path
from typing import Any

from tests.conftest import make_png


def project(root: Path, pairs: int = 7, broken: tuple[int, ...] = ()) -> Path:
    """A manifest of the pairs p0, p1, ...; the images of broken ones are missing."""
    root.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(("a.png", "b.png")):
        (root / name).write_bytes(make_png(32, 32, number))
    listed = [
        {"id": f"p{n}", "content": "gone.png" if n in broken else "a.png", "style": "b.png", "seed": n}
        for n in range(pairs)
    ]
    (root / "m.json").write_text(json.dumps({"pairs": listed}))
    return root / "m.json"


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def computed(text: str) -> list[str]:
    """The pairs that were computed, sorted: pairs are published in any order."""
    return sorted(event["pair"] for event in events(text) if event["event"] == "pair done")


def names(store: Any, folder: str = "m") -> set[str]:
    return {entry.name for entry in store.entries(folder)}
