"""Compares the time to reach a loss with that of the documented algorithm and of the program `pastiche`.

    python -m benchmarks.baseline [SIZE [--go-on]]

Writes `benchmarks/results/baseline-SIZE.json`, the plot of loss against time and the pictures at equal time.
Runs of 512 px take long. With `--go-on`, a run that was stopped continues with the pairs that are missing.
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
EPOCHS = 10  # of 20 closures, for all three algorithms
OTHERS = ("documented", "pastiche")
BRIEF = 4  # epochs of ours; the pictures at equal time are those of this moment

Curve = list[tuple[float, float]]  # seconds and loss
Row = dict[str, Curve]


def compare(names: tuple[str, str], size: int) -> tuple[Row, Image.Image]:
    """The curves of all three algorithms for one pair, and their pictures at equal time side by side."""
    content, style = (resized(name, size) for name in names)
    pair = prepared(content, style, EPOCHS)
    delivered = judge(Stylizer(device="cpu"), pair)

    def curve(snapshots: Sequence[Snapshot]) -> Curve:
        return [(round(s.seconds, 2), round(delivered(s.image), 1)) for s in snapshots]

    theirs = {
        "documented": documented.stylize(content, style, EPOCHS),
        "pastiche": peer.stylize(content, style, EPOCHS),
    }
    # A new stylizer for each run, so that its time includes computing the style targets, as for the others.
    (ours,) = Stylizer(device="cpu").run([pair])
    (brief,) = Stylizer(device="cpu").run([prepared(content, style, BRIEF)])
    fine = [e for e in ours.evaluations if e.scale == size]
    row = {"ours": [(round(e.seconds, 2), round(e.losses.total, 1)) for e in fine]}
    row["ours"].append((round(ours.seconds, 2), round(ours.losses.total, 1)))
    row |= {name: curve(snapshots) for name, snapshots in theirs.items()}
    meanwhile = [_latest(snapshots, brief.seconds) for snapshots in theirs.values()]
    return row, strip([content, style, brief.image, *meanwhile])


def strip(pictures: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side, all scaled to the height of the first, with white lines between them."""
    height = pictures[0].height
    scaled = [p.resize((round(p.width * height / p.height), height)) for p in pictures]
    starts = [0, *itertools.accumulate(p.width + 4 for p in scaled)]
    result = Image.new("RGB", (starts.pop() - 4, height), "white")
    for start, picture in zip(starts, scaled, strict=True):
        result.paste(picture, (start, 0))
    return result


def seconds_to(curve: Curve, goal: float) -> float:
    """Seconds until the loss first reached the goal; infinite if it never did."""
    return next((seconds for seconds, loss in curve if loss <= goal), math.inf)


def lowest(curve: Curve) -> tuple[float, float]:
    """Seconds until the lowest loss of the curve, and this loss."""
    return min(curve, key=lambda point: point[1])


def speedup(row: Row, other: str) -> tuple[float, float]:
    """Our seconds to the lowest loss of another algorithm, and its own seconds divided by ours."""
    seconds, loss = lowest(row[other])
    mine = seconds_to(row["ours"], loss)
    return mine, seconds / mine


def table_row(name: str, row: Row) -> str:
    """One row of the table, in Markdown."""
    cells = [name, "{:.0f} s, {:.0f}".format(*row["ours"][-1])]
    for other in OTHERS:
        mine, ratio = speedup(row, other)
        cells += ["{:.0f} s, {:.0f}".format(*lowest(row[other])), f"{mine:.1f} s", f"{ratio:.1f}"]
    return f"| {' | '.join(cells)} |"


def mean_speedup(rows: Iterable[Row], other: str) -> float:
    """The geometric mean of our speedup over all pairs; 0 if one pair never reached the loss of the other."""
    ratios = [speedup(row, other)[1] for row in rows]
    return statistics.geometric_mean(ratios) if all(ratios) else 0.0


def main() -> None:
    """Print the table and write the results."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    machine, target = describe(), RESULTS / f"baseline-{size}.json"
    rows: dict[str, Row] = {}
    if "--go-on" in sys.argv and target.exists():
        earlier = json.loads(target.read_text())
        if earlier["machine"] != machine:
            sys.exit(f"{target} was measured on another machine: {earlier['machine']}")
        rows = earlier["pairs"]
    print(f"Measured on: {machine}\n")
    print("| pair | ours, 10 epochs | documented | ours to it | times | pastiche | ours to it | times |")
    print("|---|---|---|---|---|---|---|---|")
    RESULTS.mkdir(exist_ok=True)
    for names in PAIRS:
        name = " + ".join(names)
        if name not in rows:
            rows[name], pictures = compare(names, size)
            pictures.save(RESULTS / f"equal-time-{size}-{'-'.join(names)}.jpg", quality=88)
        print(table_row(name, rows[name]), flush=True)
        # Write after each pair, because the whole run takes hours.
        results = {"machine": machine, "size": size, "pairs": rows}
        target.write_text(json.dumps(results))
        plot.losses(results, RESULTS / f"baseline-{size}.png")
    means = {other: mean_speedup(rows.values(), other) for other in OTHERS}
    print("\nGeometric means: " + ", ".join(f"{mean:.1f} for {name}" for name, mean in means.items()) + ".")


def _latest(snapshots: Sequence[Snapshot], seconds: float) -> Image.Image:
    return max((s for s in snapshots if s.seconds <= seconds), key=lambda s: s.seconds).image


if __name__ == "__main__":
    main()
