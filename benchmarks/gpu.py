"""On an NVIDIA GPU: pictures a minute, share of the card's bf16 matrix rate, memory."""

import sys
import time

import torch
from PIL import Image

from benchmarks.machine import describe
from nst import Pair, Parameters, Style, Stylizer
from nst.images import Picture

SIZE, EPOCHS = 512, 5
# Multiply-adds of the convolutions up to conv5_1 for each pixel of the picture: in * out * 9 over the area.
_CHANNELS = [(3, 64, 1), (64, 64, 1), (64, 128, 4), (128, 128, 4), (128, 256, 16)]
_CHANNELS += [(256, 256, 16)] * 3 + [(256, 512, 64)] + [(512, 512, 64)] * 3 + [(512, 512, 256)]
MULTIPLY_ADDS = sum(9 * i * o / area for i, o, area in _CHANNELS)


def matrix_rate() -> float:
    """Measured operations a second of an 8192-cubed bf16 product."""
    a = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(20):
        a @ a
    torch.cuda.synchronize()
    return 20 * 2 * 8192**3 / (time.perf_counter() - began)


def batch(count: int, size: int) -> list[Pair]:
    """Pairs of noise; what they show does not change the time."""
    noise = Image.effect_noise((size, size), 80).convert("RGB")
    parameters = Parameters(epochs=EPOCHS, max_size=size)
    return [Pair.prepare(Picture(noise), [(Style(noise), 1.0)], parameters) for _ in range(count)]


def main() -> None:
    """Print the table."""
    if not torch.cuda.is_available():
        sys.exit("There is no NVIDIA GPU here; this table stays unmeasured.")
    stylizer, rate = Stylizer(), matrix_rate()
    print(f"Measured on: {describe()}; bf16 matrix rate {rate / 1e12:.0f} TFLOP/s\n")
    print("| px | pairs a batch | pictures a minute | share of the matrix rate | peak memory, GiB |")
    print("|---|---|---|---|---|")
    for size, count in ((SIZE, 1), (SIZE, 4), (SIZE, 16), (1024, 1), (2048, 1)):
        pairs = batch(count, size)
        stylizer.run(pairs)
        torch.cuda.reset_peak_memory_stats()
        began = time.perf_counter()
        results = stylizer.run(pairs)
        seconds = time.perf_counter() - began
        # Forward and backward to the picture: twice the multiply-adds, two operations each.
        pixels = sum(e.scale**2 for result in results for e in result.evaluations)
        share = 4 * MULTIPLY_ADDS * pixels / seconds / rate
        memory = torch.cuda.max_memory_allocated() / 2**30
        print(f"| {size} | {count} | {60 * count / seconds:.1f} | {share:.0%} | {memory:.2f} |", flush=True)


if __name__ == "__main__":
    main()
