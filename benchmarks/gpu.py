"""Measures on an NVIDIA GPU: pictures a minute of the whole pipeline, utilisation of the GPU, and memory.

Writes `benchmarks/results/gpu.json`.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path

import torch
from PIL import Image

from benchmarks import documented, large
from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from benchmarks.pictures import PAIRS, Snapshot, judge, landscape, prepared
from nst import Result, Stylizer
from nst.parameters import LAYERS
from nst.tiles import STRIDES
from nst.weights import CONVOLUTIONS, load_weights
from pipeline.events.log import JsonLines
from pipeline.stores.folder import FolderStore

DEVICE = "cuda"
TARGET = Path(__file__).parent / "results" / "gpu.json"
SIZE, EPOCHS = 512, 10
COUNTS = (64, 640)  # pairs of a manifest; with 640, start-up and planning are a small share of the time
BATCHES = (1, 4, 16)
LIMIT = 24e9  # bytes of memory that a picture may use
SQUARES, EVALUATIONS = (1024, 2048, 4096, 8192), 4  # sides of large pictures, and their evaluations


def timed(action: Callable[[], object], times: int) -> float:
    """Seconds for one call of an action on the GPU."""
    action()
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        action()
    torch.cuda.synchronize()
    return (time.perf_counter() - began) / times


def matrix_rate() -> float:
    """Measured operations a second of a bf16 product of two 8192 x 8192 matrices."""
    a = torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16)
    return 2 * 8192**3 / timed(lambda: a @ a, 20)


def documented_result(names: tuple[str, str], epochs: int = EPOCHS) -> Snapshot:
    """The last picture of the documented algorithm for a pair."""
    content, style = (landscape(name, SIZE) for name in names)
    return documented.stylize(content, style, epochs, DEVICE)[-1]


def goal_of(stylizer: Stylizer, names: tuple[str, str], result: Image.Image) -> float:
    """The delivered loss of a picture that another algorithm made."""
    content, style = (landscape(name, SIZE) for name in names)
    return judge(stylizer, prepared(content, style, EPOCHS))(result)


def epochs_to(stylizer: Stylizer, names: tuple[str, str], goal: float) -> int:
    """The number of our epochs that reaches the goal; at most that of the documented algorithm."""
    content, style = (landscape(name, SIZE) for name in names)
    for epochs in range(1, EPOCHS + 1):
        ours = stylizer.run([prepared(content, style, epochs)])[0].losses.total
        if ours <= goal:
            break
    print(f"{' + '.join(names)}: {ours:.0f} after {epochs} epochs; documented {goal:.0f}", flush=True)
    return epochs


def whole_pipeline(count: int, epochs: int, goals: Sequence[float]) -> tuple[float, float, int]:
    """Process a manifest of `count` pairs, from decoding to the PNG in the outbox.

    Returns the seconds, the seconds of the optimisation, and the number of losses that reached their goal.
    """
    with tempfile.TemporaryDirectory() as folder:
        inbox, outbox = Path(folder, "inbox"), Path(folder, "outbox")
        inbox.mkdir()
        outbox.mkdir()
        for name in {name for names in PAIRS for name in names}:
            landscape(name, SIZE).save(inbox / f"{name}.png")
        pairs = [
            {"id": str(n), "content": f"{c}.png", "style": f"{s}.png"}
            for n, (c, s) in enumerate(islice(cycle(PAIRS), count))
        ]
        manifest = {"defaults": {"max_size": SIZE, "epochs": epochs}, "pairs": pairs}
        (inbox / "all.json").write_text(json.dumps(manifest))
        with Path(folder, "log").open("w") as log:
            seconds = seconds_for(FolderStore(inbox), FolderStore(outbox), JsonLines(log), DEVICE)
        records = [json.loads((outbox / "all" / f"{n}.json").read_text()) for n in range(count)]
        low = sum(r["losses"]["total"] <= goal for r, goal in zip(records, cycle(goals), strict=False))
        return seconds, sum(record["seconds"] for record in records), low


def operations(width: int, height: int) -> float:
    """Operations of the convolutions up to relu4_1 for one evaluation, forward and back to the picture."""
    kernels, total = load_weights().kernels, 0.0
    for name, layer in zip(CONVOLUTIONS, LAYERS, strict=True):
        # Each number of a kernel takes a product and a sum for each position, and as many on the way back.
        total += 4 * kernels[name].numel() * (height // STRIDES[layer]) * (width // STRIDES[layer])
        if layer == "relu4_1":
            break
    return total


def convolution_share(stylizer: Stylizer, count: int, peak: float) -> float:
    """The rate of operations of the convolutions in a whole optimisation, as a share of the matrix rate.

    Those of relu5_1, at every 40th evaluation, and those of the targets are not counted.
    """
    content, style = (landscape(name, SIZE) for name in PAIRS[0])
    pair = prepared(content, style, EPOCHS)
    size = {max(scaled.size): scaled.size for scaled in pair.contents}
    runs = list[list[Result]]()
    seconds = timed(lambda: runs.append(stylizer.run([pair] * count)), 1)
    needed = sum(operations(*size[e.scale]) for result in runs[-1] for e in result.evaluations)
    return needed / seconds / peak


def memory(size: int) -> tuple[float, float]:
    """Peak bytes of a square picture that may take `LIMIT`, and the seconds of one of its evaluations."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    others, times = torch.cuda.memory_reserved(), list[float]()
    stylizer = Stylizer(device=DEVICE, memory=LIMIT / 1e9)
    large.seconds_of(stylizer, large.prepared(size), EVALUATIONS, lambda _, seconds: times.append(seconds))
    return torch.cuda.max_memory_reserved() - others, statistics.median(times)


def figures() -> Iterator[tuple[str, object]]:
    """All figures with their names, in the order of the measurements."""
    yield "machine", describe()
    peak = matrix_rate()
    yield "bf16 matrix rate, TFLOP/s", peak / 1e12
    documented_result(PAIRS[0], 1)  # warm-up, not measured
    others = {names: documented_result(names) for names in PAIRS}
    each = statistics.mean(last.seconds for last in others.values())
    yield "documented, seconds a picture", each

    stylizer = Stylizer(device=DEVICE)  # made after the baseline has run, because it turns TF32 off
    goals = [goal_of(stylizer, names, last.image) for names, last in others.items()]
    epochs = max(epochs_to(stylizer, names, goal) for names, goal in zip(PAIRS, goals, strict=True))
    yield "our epochs to as low a loss, for every pair", epochs
    for count in COUNTS:
        seconds, optimising, low = whole_pipeline(count, epochs, goals)
        yield f"{count} pairs through the pipeline: as low as documented", low
        yield f"{count} pairs: ours, pictures a minute", 60 * count / seconds
        yield f"{count} pairs: times the documented algorithm", each * count / seconds
        yield f"{count} pairs: overhead of the pipeline, share of time", 1 - optimising / seconds

    for batch in BATCHES:
        share = convolution_share(stylizer, batch, peak)
        yield f"share of the bf16 matrix rate, {batch} at a time", share
    for size in SQUARES:
        peak_bytes, seconds = memory(size)
        yield f"{size} x {size} px in {LIMIT / 1e9:.0f} GB: peak, GB", peak_bytes / 1e9
        yield f"{size} x {size} px in {LIMIT / 1e9:.0f} GB: seconds an evaluation", seconds


def main() -> None:
    """Print each figure and write it to the file as soon as it is measured."""
    if not torch.cuda.is_available():
        sys.exit("This machine has no NVIDIA GPU that torch can use, so nothing was measured.")
    TARGET.parent.mkdir(exist_ok=True)
    known: dict[str, object] = {}
    for name, value in figures():
        known[name] = value
        shown = f"{value:.3g}" if isinstance(value, float) else value
        print(f"| {name} | {shown} |", flush=True)
        TARGET.write_text(json.dumps(known, indent=1))


if __name__ == "__main__":
    main()
