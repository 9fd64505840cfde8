"""Seconds to the loss that the documented algorithm reaches in ten epochs, against ours, at 256 px."""

import math
import statistics
import time
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from benchmarks.machine import describe
from nst import Pair, Parameters, Style, Stylizer, images
from nst.objective import Objective

IMAGES = Path(__file__).parent.parent / "manifests" / "images"
PAIRS = [(content, style) for content in ("cat", "coffee") for style in ("strokes", "mosaic")]
SIZE = 256


def resized(name: str) -> Image.Image:
    """An example image at the working size, so that nobody has to resize."""
    image = Image.open(IMAGES / f"{name}.jpg").convert("RGB")
    return images.resize(image, images.scaled(image.size, SIZE))


def documented(objective: Objective, content: Tensor, epochs: int) -> tuple[float, float]:
    """Gatys' algorithm as tutorials have it: torch's L-BFGS on pixels, clamped in the closure, fp32.

    Returns seconds and the loss of the 8-bit picture.
    """
    picture = content.contiguous().clone().requires_grad_()
    optimiser = torch.optim.LBFGS([picture])

    def closure() -> Tensor:
        with torch.no_grad():
            picture.clamp_(0, 1)
        optimiser.zero_grad()
        terms = objective(picture)
        total = (terms.content + 1e6 * terms.style).sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    began = time.perf_counter()
    for _ in range(epochs):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    seconds = time.perf_counter() - began
    with torch.no_grad():
        terms = objective((picture.clamp(0, 1) * 255).round() / 255)
        return seconds, (terms.content + 1e6 * terms.style).item()


def main() -> None:
    """Print the table."""
    stylizer = Stylizer()
    print(f"Measured on: {describe()}\n")
    print("| pair | documented: loss | seconds | ours: seconds to it | evaluations | times faster |")
    print("|---|---|---|---|---|---|")
    ratios = []
    for names in PAIRS:
        content, style = (resized(name) for name in names)
        pair = Pair.prepare(
            images.Picture(content), [(Style(style), 1.0)], Parameters(epochs=10, max_size=SIZE)
        )
        objective = stylizer.objective([pair], -1, exact=True)
        slow, goal = documented(objective, stylizer.upload(images.to_tensor(content)[None]), 10)
        (result,) = stylizer.run([pair])
        reached = next((e for e in result.evaluations if e.losses.total <= goal), None)
        if reached is None:
            print(f"| {' + '.join(names)} | {goal:.0f} | {slow:.1f} | not reached | | |")
            continue
        ratios.append(slow / reached.seconds)
        print(
            f"| {' + '.join(names)} | {goal:.0f} | {slow:.1f} | {reached.seconds:.1f} "
            f"| {reached.step} | {ratios[-1]:.1f} |",
            flush=True,
        )
    mean = math.exp(statistics.mean(map(math.log, ratios))) if ratios else math.nan
    print(f"\nGeometric mean: {mean:.1f} times faster.")


if __name__ == "__main__":
    main()
