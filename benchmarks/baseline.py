"""Seconds to the loss of the documented algorithm and of the peer `pastiche`, against ours, at 256 px."""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from benchmarks import documented
from benchmarks.machine import describe
from nst import Pair, Parameters, Style, Stylizer, images
from nst.images import to_tensor
from nst.result import Evaluation

IMAGES = Path(__file__).parent.parent / "manifests" / "images"
PAIRS = [(content, style) for content in ("cat", "coffee") for style in ("strokes", "mosaic")]
SIZE, EPOCHS = 256, 10
_LEVELS = 57.63  # 8-bit levels in one unit of ImageNet-normalised input; the peer counts in levels


def resized(name: str) -> Image.Image:
    """An example image at the working size, so that nobody has to resize."""
    image = Image.open(IMAGES / f"{name}.jpg").convert("RGB")
    return images.resize(image, images.scaled(image.size, SIZE))


def pastiche(content: Image.Image, style: Image.Image, steps: int) -> tuple[Image.Image, float]:
    """The peer's picture after so many steps of the very same objective, and the seconds of its process."""
    style_weights = [1e6 / (channels**2 * _LEVELS**4) for channels in (64, 128, 256, 512, 512)]
    with TemporaryDirectory() as folder:
        paths = [str(Path(folder) / name) for name in ("content.png", "style.png", "result.png")]
        content.save(paths[0])
        style.save(paths[1])
        command = [str(Path(sys.executable).parent / "pastiche"), "--device", "cpu"]
        command += ["--content", paths[0], "--styles", paths[1], "--output", paths[2]]
        command += ["--size", str(SIZE), "--style-size", str(SIZE), "--num-steps", str(steps)]
        command += ["--content-layers", "block4_relu1", "--content-layer-weights", str(1 / _LEVELS**2)]
        command += ["--style-layer-weights", *map(str, style_weights), "--style-weights", "1"]
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds = time.perf_counter() - began
        with Image.open(paths[2]) as result:
            return result.convert("RGB"), seconds


def reached(evaluations: Sequence[Evaluation], goal: float) -> Evaluation | None:
    """The first evaluation of the finest scale that is as good."""
    return next((e for e in evaluations if e.scale == SIZE and e.losses.total <= goal), None)


def compare(stylizer: Stylizer, names: tuple[str, str]) -> dict[str, float]:
    """Print a row; return how many times faster than each we were there."""
    content, style = (resized(name) for name in names)
    parameters = Parameters(epochs=EPOCHS, max_size=SIZE)
    pair = Pair.prepare(images.Picture(content), [(Style(style), 1.0)], parameters)
    exact = stylizer.objective([pair], -1, exact=True)

    def delivered(image: Image.Image) -> float:
        with torch.no_grad():
            terms = exact(to_tensor(image)[None])
            return (terms.content + 1e6 * terms.style).item()

    picture, slow = documented.stylize(to_tensor(content)[None], to_tensor(style)[None], EPOCHS)
    rows = {"documented": (delivered(images.to_image(picture[0])), slow)}
    _, start = pastiche(content, style, 1)
    image, seconds = pastiche(content, style, 200)
    rows["pastiche"] = (delivered(image), seconds - start)
    (result,) = stylizer.run([pair])
    print(f"| {' + '.join(names)} | {result.seconds:.0f} s, {result.losses.total:.0f}", end=" ")
    ratios = {}
    for name, (goal, seconds) in rows.items():
        found = reached(result.evaluations, goal)
        ratios[name] = seconds / found.seconds if found else math.nan
        ours = f"{found.seconds:.1f} s" if found else "not reached"
        print(f"| {seconds:.0f} s, {goal:.0f} | {ours} | {ratios[name]:.1f} ", end="")
    print("|", flush=True)
    return ratios


def main() -> None:
    """Print the table."""
    print(f"Measured on: {describe()}\n")
    print("| pair | ours, 10 epochs | documented | ours to it | times | pastiche | ours to it | times |")
    print("|---|---|---|---|---|---|---|---|")
    stylizer = Stylizer(device="cpu")
    ratios = [compare(stylizer, names) for names in PAIRS]
    means = {
        name: math.exp(statistics.mean(math.log(row[name]) for row in ratios))
        for name in ("documented", "pastiche")
    }
    print("\nGeometric means: " + ", ".join(f"{mean:.1f} for {name}" for name, mean in means.items()) + ".")


if __name__ == "__main__":
    main()
