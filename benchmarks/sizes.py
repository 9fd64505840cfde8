"""Measures whether pictures of 512 and 2048 px of the same pair look alike, and writes both, side by side.

    python -m benchmarks.sizes SHEET CONTENT STYLE [CONTENT STYLE...]

They are made in ten epochs with strength 1; a small content is enlarged. Both are compared at 512 px, as seen
from a distance, by their structural similarity (Wang et al. 2004, eq. 13), which is 1 for equal pictures.
That of the photograph with the smaller one is printed for comparison.
"""

import sys
import time

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.machine import describe
from benchmarks.pictures import opened
from nst import Parameters, PreparedPair, Style, Stylizer, images
from nst.images import Picture, to_tensor

SIZES = (512, 2048)
_DEVIATION, _REACH = 1.5, 5  # pixels of the Gaussian window; these and the next ones are those of the paper
_C1, _C2 = 0.01**2, 0.03**2
_GREY = (0.299, 0.587, 0.114)


def similarity(one: Image.Image, other: Image.Image) -> float:
    """The mean structural similarity of the brightness of two pictures of one size."""
    offsets = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    line = torch.exp(-(offsets**2) / (2 * _DEVIATION**2))
    window = torch.outer(line, line)[None, None] / line.sum() ** 2

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(x, window)

    a, b = _brightness(one), _brightness(other)
    mean_a, mean_b = mean(a), mean(b)
    spread = mean(a * a) - mean_a**2 + mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    found = (2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)
    return float((found / ((mean_a**2 + mean_b**2 + _C1) * (spread + _C2))).mean())


def _brightness(image: Image.Image) -> Tensor:
    pixels = to_tensor(image).double()
    return (pixels * torch.tensor(_GREY, dtype=torch.float64)[:, None, None]).sum(0)[None, None]


def stylized(stylizer: Stylizer, content: str, style: str, size: int) -> Image.Image:
    """The picture of a pair whose long side has so many pixels."""
    parameters = Parameters(max_size=size, enlarge=True, strength=1)
    pair = PreparedPair.prepare(Picture(opened(content)), [(Style(opened(style)), 1.0)], parameters)
    return stylizer.run([pair])[0].image


def main() -> None:
    """Print a row for each pair, and write the sheet: a row for each pair, 512 px on the left side."""
    path, *names = sys.argv[1:]
    stylizer, rows = Stylizer(), list[list[Image.Image]]()
    print(f"{describe()}\n\n| pair | seconds at 512 px | at 2048 px | similarity | of the photograph |")
    print("|---|---|---|---|---|", flush=True)
    for content, style in zip(names[::2], names[1::2], strict=True):
        made, seconds = list[Image.Image](), list[float]()
        for size in SIZES:
            began = time.perf_counter()
            made.append(stylized(stylizer, content, style, size))
            seconds.append(time.perf_counter() - began)
        # The sides of the larger one are rounded from another size: they may differ by a pixel.
        small, large, photo = (images.resize(each, made[0].size) for each in (*made, opened(content)))
        alike, plain = similarity(small, large), similarity(small, photo)
        print(
            f"| {content} + {style} | {seconds[0]:.1f} | {seconds[1]:.1f} | {alike:.2f} | {plain:.2f} |",
            flush=True,
        )
        rows.append([small, large])
    sheet = Image.new("RGB", (2 * SIZES[0], sum(small.height for small, _ in rows)), "white")
    top = 0
    for row in rows:
        for column, image in enumerate(row):
            sheet.paste(image, (column * SIZES[0], top))
        top += row[0].height
    sheet.save(path, quality=90)


if __name__ == "__main__":
    main()
