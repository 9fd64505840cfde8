"""On an NVIDIA GPU: pictures a minute through the whole pipeline, use of the card, and memory.

Writes `benchmarks/results/gpu.json`.
"""

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import documented
from benchmarks.engine import seconds_for
from benchmarks.machine import describe
from benchmarks.pictures import PAIRS, Snapshot, judge, prepared, resized
from nst import Stylizer
from pipeline.progress import JsonLines
from pipeline.stores.folder import FolderStore

DEVICE = "cuda"
SIZE, EPOCHS, COUNT = 512, 10, 64
LIMIT = 24e9  # bytes that the largest picture has to do with


def timed(action: Callable[[], object], times: int) -> float:
    """Seconds for one call of something that works on the device."""
    action()
    _wait()
    began = time.perf_counter()
    for _ in range(times):
        action()
    _wait()
    return (time.perf_counter() - began) / times


def matrix_rate() -> float:
    """Measured operations a second of an 8192-cubed bf16 product."""
    a = torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16)
    return 2 * 8192**3 / timed(lambda: a @ a, 20)


def picture(name: str) -> Image.Image:
    """An example image, cut so that all of them go together."""
    return resized(name, SIZE).crop((0, 0, SIZE, SIZE * 2 // 3))


def theirs(names: tuple[str, str], epochs: int = EPOCHS) -> Snapshot:
    """What the documented algorithm makes of a pair."""
    content, style = map(picture, names)
    return documented.stylize(content, style, epochs, DEVICE)[-1]


def epochs_to(stylizer: Stylizer, names: tuple[str, str], mark: Image.Image) -> int:
    """How many epochs of ours deliver as low a loss as another's picture. Raises `ValueError` if none do."""
    content, style = map(picture, names)
    goal = judge(stylizer, prepared(content, style, EPOCHS))(mark)
    for epochs in range(1, EPOCHS + 1):
        ours = stylizer.run([prepared(content, style, epochs)])[0].losses.total
        if ours <= goal:
            print(f"{' + '.join(names)}: {ours:.0f} after {epochs} epochs; documented {goal:.0f}")
            return epochs
    raise ValueError(f"{' + '.join(names)}: not as low as the documented algorithm's {goal:.0f}")


def whole_pipeline(epochs: int) -> tuple[float, float]:
    """Seconds for a manifest of `COUNT` pairs, decoding to PNG in the outbox, and those of optimising."""
    with tempfile.TemporaryDirectory() as folder:
        inbox, outbox = Path(folder, "inbox"), Path(folder, "outbox")
        inbox.mkdir()
        outbox.mkdir()
        for name in {name for names in PAIRS for name in names}:
            picture(name).save(inbox / f"{name}.png")
        pairs = [
            {"id": str(n), "content": f"{c}.png", "style": f"{s}.png"}
            for n, (c, s) in enumerate((PAIRS * math.ceil(COUNT / len(PAIRS)))[:COUNT])
        ]
        manifest = {"defaults": {"max_size": SIZE, "epochs": epochs}, "pairs": pairs}
        (inbox / "all.json").write_text(json.dumps(manifest))
        with Path(folder, "log").open("w") as log:
            seconds = seconds_for(FolderStore(inbox), FolderStore(outbox), JsonLines(log), DEVICE)
        records = [json.loads((outbox / "all" / f"{n}.json").read_text()) for n in range(COUNT)]
        return seconds, sum(record["seconds"] for record in records)


def convolution_share(stylizer: Stylizer, count: int, size: int, peak: float) -> float:
    """Share of the matrix rate that the convolutions of a whole optimisation reach."""
    content, style = (resized(name, size) for name in PAIRS[0])
    pair = prepared(content, style, EPOCHS)
    pairs = [pair] * count
    with FlopCounterMode(display=False) as counter:
        stylizer.run(pairs)
    operations: float = sum(
        number for name, number in counter.get_flop_counts()["Global"].items() if "convolution" in str(name)
    )
    return operations / timed(lambda: stylizer.run(pairs), 1) / peak


def memory(stylizer: Stylizer, size: int) -> float | None:
    """Peak bytes that one square pair takes; none if they are more than `LIMIT`."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    content, style = (resized(name, size).resize((size, size)) for name in PAIRS[0])
    try:
        stylizer.run([prepared(content, style, 1)])
    except torch.OutOfMemoryError:
        return None
    return torch.cuda.max_memory_allocated()


def main() -> None:
    """Print the figures and write them down."""
    if not torch.cuda.is_available():
        sys.exit("There is no NVIDIA GPU here; this table stays unmeasured.")
    peak = matrix_rate()
    theirs(PAIRS[0], 1)  # plans its convolutions
    others = {names: theirs(names) for names in PAIRS}
    stylizer = Stylizer(device=DEVICE)  # only now: it turns TF32 off, which the others may use
    print(f"Measured on: {describe()}; bf16 matrix rate {peak / 1e12:.0f} TFLOP/s\n")
    epochs = max(epochs_to(stylizer, names, last.image) for names, last in others.items())
    seconds, optimising = whole_pipeline(epochs)
    each = statistics.mean(last.seconds for last in others.values())
    figures: dict[str, object] = {
        "machine": describe(),
        "documented, seconds a picture": each,
        "our epochs to as low a loss, for every pair": epochs,
        f"ours, pictures a minute, {COUNT} pairs through the pipeline": 60 * COUNT / seconds,
        "times the documented algorithm": each * COUNT / seconds,
        "share of time beside the optimising": 1 - optimising / seconds,
    }
    for count in (1, 4, 16):
        name = f"share of the bf16 matrix rate, {count} at a time"
        figures[name] = convolution_share(stylizer, count, SIZE, peak)
    total = torch.cuda.get_device_properties(DEVICE).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, LIMIT / total))
    for size in (1024, 2048, 4096):
        figures[f"peak bytes at {size} px, of at most {LIMIT / 1e9:.0f} GB"] = memory(stylizer, size)
    for name, value in figures.items():
        print(f"| {name} | {value:.3g} |" if isinstance(value, float) else f"| {name} | {value} |")
    target = Path(__file__).parent / "results" / "gpu.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(figures, indent=1))


def _wait() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
