"""Measures the share of convolutions in the time of an evaluation, and the memory of each picture size."""

import resource
import subprocess
import sys

import torch
from PIL import Image
from torch.profiler import ProfilerActivity, profile

from benchmarks.machine import describe
from nst import Parameters, PreparedPair, Style, Stylizer
from nst.canvas import Canvas
from nst.images import Picture, to_tensor
from pipeline.engines.trial import finest

SIZES = (256, 512, 1024, 2048)
_CONVOLUTIONS = (
    "aten::mkldnn_convolution",
    "aten::convolution_backward",
    "_ConvolutionReLU",
    "_ConvolutionReLUBackward",
)


def prepared(size: int) -> PreparedPair:
    """A square pair of this size, of noise."""
    noise = Image.effect_noise((size, size), 80).convert("RGB")
    return PreparedPair.prepare(Picture(noise), [(Style(noise), 1.0)], Parameters(epochs=1, max_size=size))


def convolution_share(size: int) -> float:
    """The share of convolutions, including their ReLU, in the processor time of an evaluation."""
    stylizer, pair = Stylizer(device="cpu"), prepared(size)
    objective = stylizer.targets.objective([pair], -1)
    image = to_tensor(pair.contents[-1])[None]
    canvas = Canvas(size, size, image.device)
    variables = canvas.encode(image).requires_grad_()

    def evaluate() -> None:
        terms = objective(canvas.decode(variables))
        torch.autograd.grad((terms.content + 1e6 * terms.style).sum(), variables)

    evaluate()
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        for _ in range(5):
            evaluate()
    events = trace.key_averages()
    total = sum(float(e.self_cpu_time_total) for e in events)
    return sum(float(e.cpu_time_total) for e in events if e.key in _CONVOLUTIONS) / total


def peak_memory(size: int) -> float:
    """Peak resident memory, in GiB, of a process that makes one picture of this size."""
    code = f"from benchmarks.shape import one; one({size})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return float(output.stdout)


def one(size: int) -> None:
    """Make a picture in 20 iterations on its finest scale only, and print the process's peak memory."""
    Stylizer(device="cpu").run([finest(prepared(size))])
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def main() -> None:
    """Print the tables."""
    print(f"Measured on: {describe()}\n")
    print(f"Convolutions' share of an evaluation at 384 px: {convolution_share(384):.0%}\n")
    print("| one pair, px | peak memory, GiB |")
    print("|---|---|")
    for size in SIZES:
        print(f"| {size} x {size} | {peak_memory(size):.2f} |", flush=True)


if __name__ == "__main__":
    main()
