"""Paints the two style pictures beside it; the same bytes' worth of paint every time.

python manifests/images/paint.py
"""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 640, 512
FINER = 2  # painted this much larger, so that edges come out smooth
NIGHT = np.array([(12, 24, 66), (24, 58, 128), (38, 104, 168), (94, 160, 190), (20, 40, 92)], float)
LIGHT = np.array([(250, 206, 84), (246, 168, 44), (255, 236, 160), (232, 122, 38)], float)
GLASS = np.array(
    [(178, 34, 30), (226, 92, 30), (243, 168, 52), (120, 18, 40), (252, 214, 120), (24, 118, 120)], float
)
EDDIES = [(0.27, 0.34, 1.0), (0.70, 0.26, -1.0), (0.55, 0.72, 0.8), (0.93, 0.78, -0.9), (0.05, 0.86, -0.8)]


def flow(x: float, y: float) -> tuple[float, float]:
    """Angle of the wind at a point of the unit square, and how near the heart of an eddy it is."""
    u, v, nearest = 0.55, 0.12 * math.sin(7 * x + 3 * y), 0.0
    for cx, cy, spin in EDDIES:
        dx, dy = (x - cx) * WIDTH / HEIGHT, y - cy
        pull = math.exp(-(dx * dx + dy * dy) / 0.035)
        u, v = u - 9 * spin * pull * dy, v + 9 * spin * pull * dx
        nearest = max(nearest, math.exp(-(dx * dx + dy * dy) / 0.006))
    return math.atan2(v, u), nearest


def brush(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, x: float, y: float, width: float, length: float
) -> None:
    """One stroke along the wind: bristles side by side, each with a shade of its own."""
    _, glow = flow(x, y)
    palette = LIGHT if rng.random() < glow * 1.3 + 0.05 else NIGHT
    colour = palette[rng.integers(len(palette))] * rng.uniform(0.8, 1.15)
    path = [(x, y)]
    step = 0.006
    for _ in range(max(2, int(length / step))):
        angle, _ = flow(*path[-1])
        path.append(
            (path[-1][0] + step * math.cos(angle) * HEIGHT / WIDTH, path[-1][1] + step * math.sin(angle))
        )
    bristles = max(3, int(width * FINER / 1.6))
    for bristle in range(bristles):
        across = bristle / (bristles - 1) - 0.5
        # Paint piles up along one edge and thins out at the other, as if lit from above.
        relief = 1 - 0.38 * across + rng.normal(0, 0.09)
        shade = tuple(int(c) for c in np.clip(colour * relief + rng.normal(0, 5, 3), 0, 255))
        trim = int(rng.integers(0, max(1, len(path) // 4)))
        points = []
        for px, py in path[trim : len(path) - int(rng.integers(0, max(1, len(path) // 4)))]:
            angle, _ = flow(px, py)
            offset = across * width
            points.append(
                (
                    (px * WIDTH - math.sin(angle) * offset) * FINER,
                    (py * HEIGHT + math.cos(angle) * offset) * FINER,
                )
            )
        if len(points) > 1:
            draw.line(points, fill=shade, width=FINER, joint="curve")


def paint_strokes() -> Image.Image:
    """Thick paint along a swirling wind, broad strokes first."""
    rng = np.random.default_rng(7)
    canvas = Image.new("RGB", (WIDTH * FINER, HEIGHT * FINER), (20, 44, 98))
    draw = ImageDraw.Draw(canvas)
    for count, width, length in ((900, 22, 0.16), (2200, 12, 0.11), (2600, 6, 0.07)):
        for _ in range(count):
            x, y = rng.uniform(-0.08, 1.05), rng.uniform(-0.03, 1.03)
            brush(draw, rng, x, y, width * rng.uniform(0.7, 1.3), length * rng.uniform(0.6, 1.3))
    return canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def nearest_seeds(seeds: Array) -> tuple[npt.NDArray[np.int64], Array]:
    """For each pixel its seed, and how much farther away the second nearest one is."""
    columns = np.arange(WIDTH * FINER)[:, None] / FINER
    owner = np.empty((HEIGHT * FINER, WIDTH * FINER), np.int64)
    gap = np.empty(owner.shape)
    for row in range(HEIGHT * FINER):
        distance = np.hypot(columns - seeds[:, 0], row / FINER - seeds[:, 1])
        two = np.argpartition(distance, 1, axis=1)[:, :2]
        near = np.take_along_axis(distance, two, axis=1)
        owner[row] = np.where(near[:, 0] < near[:, 1], two[:, 0], two[:, 1])
        gap[row] = np.abs(near[:, 1] - near[:, 0])
    return owner, gap


def paint_mosaic() -> Image.Image:
    """Glass tesserae in rings around two suns, in dark leading."""
    rng = np.random.default_rng(11)
    suns, seeds, tones = [(190.0, 200.0), (520.0, 400.0)], [], []
    for index, (cx, cy) in enumerate(suns):
        radius = 8.0
        while radius < 620:
            pieces = max(5, int(2 * math.pi * radius / rng.uniform(17, 30)))
            tone = rng.integers(len(GLASS))
            for piece in range(pieces):
                angle = 2 * math.pi * (piece + rng.uniform(-0.2, 0.2)) / pieces + radius
                x, y = cx + radius * math.cos(angle), cy + radius * math.sin(angle)
                other = suns[1 - index]
                inside = -20 < x < WIDTH + 20 and -20 < y < HEIGHT + 20
                if inside and math.hypot(x - cx, y - cy) < math.hypot(x - other[0], y - other[1]):
                    seeds.append((x, y))
                    tones.append(tone if rng.random() < 0.72 else rng.integers(len(GLASS)))
            radius += rng.uniform(14, 24)
    owner, gap = nearest_seeds(np.array(seeds))
    colours = GLASS[np.array(tones)] * rng.uniform(0.72, 1.22, (len(seeds), 1))
    # Each piece glows towards its middle and carries streaks, like glass against the light.
    glow = 0.78 + 0.34 * np.clip(gap / 16, 0, 1)
    streaks = np.asarray(
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH // 8), dtype=np.uint8))
        .resize((WIDTH * FINER, HEIGHT * FINER), Image.Resampling.BICUBIC)
        .filter(ImageFilter.GaussianBlur(1.5))
    )
    pixels = colours[owner] * (glow * (0.86 + 0.28 * streaks / 255))[..., None]
    lead = np.clip((gap - 1.6) / 1.4, 0, 1)[..., None]
    pixels = lead * pixels + (1 - lead) * np.array((26, 18, 22))
    picture = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return picture.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    folder = Path(__file__).parent
    paint_strokes().save(folder / "strokes.jpg", quality=90)
    paint_mosaic().save(folder / "mosaic.jpg", quality=90)
