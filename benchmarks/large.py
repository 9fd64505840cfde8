"""Measures the memory and the time that some evaluations of a large square picture take.

python -m benchmarks.large PIXELS GB EVALUATIONS

The picture is made as by `nst-pipeline run --memory GB`, with one epoch, from its coarsest scale on, until it
had so many evaluations at its finest scale. The peak is that of the whole process, or of a GPU's memory.
"""

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

from benchmarks.machine import describe
from benchmarks.pictures import opened
from nst import Evaluation, Parameters, PreparedPair, Style, Stylizer
from nst.images import Picture


class _EnoughError(Exception):
    """Ends the run."""


def prepared(pixels: int) -> PreparedPair:
    """The cup of coffee, square and enlarged, and the brush strokes at their own size or above."""
    photo, style = opened("coffee"), opened("strokes")
    content = photo.crop((85, 0, 85 + photo.height, photo.height))
    parameters = Parameters(max_size=pixels, enlarge=True, epochs=1, strength=1, style_scale=0.4)
    return PreparedPair.prepare(Picture(content), [(Style(style), 1.0)], parameters)


def seconds_of(
    stylizer: Stylizer, pair: PreparedPair, evaluations: int, on_row: Callable[[Evaluation, float], None]
) -> None:
    """Make the picture until it had so many evaluations at its finest scale.

    `on_row` gets each of these evaluations, and the seconds since the one before.
    """
    before, finest, left = time.perf_counter(), max(pair.contents[-1].size), evaluations

    def on_evaluation(_: int, evaluation: Evaluation) -> None:
        nonlocal before, left
        now = time.perf_counter()
        if evaluation.scale == finest:
            on_row(evaluation, now - before)
            left -= 1
        before = now
        if not left:
            raise _EnoughError

    with suppress(_EnoughError):
        stylizer.run([pair], on_evaluation)


def peak(stylizer: Stylizer) -> float:
    """The most memory that this process has had, in GiB; on a GPU, of its memory."""
    if stylizer.device.type == "cuda":
        return torch.cuda.max_memory_reserved(stylizer.device) / 2**30
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 2**20


def main() -> None:
    """Print a row for each evaluation at the finest scale."""
    pixels, memory, evaluations = int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    pair, stylizer = prepared(pixels), Stylizer(memory=memory)
    plan = stylizer.plan(pair)
    print(
        f"{describe()}\n{pixels} x {pixels}, --memory {memory:g}: {plan}, so far {peak(stylizer):.2f} GiB\n"
    )
    print("| evaluation | seconds | loss | peak, GiB |\n|---|---|---|---|", flush=True)

    def on_row(evaluation: Evaluation, seconds: float) -> None:
        loss = evaluation.losses.total
        print(f"| {evaluation.step} | {seconds:.2f} | {loss:.0f} | {peak(stylizer):.2f} |", flush=True)

    seconds_of(stylizer, pair, evaluations, on_row)


if __name__ == "__main__":
    main()
