"""Paints seven style pictures beside it, which are as unlike each other as can be.

python -m benchmarks.images.paint
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[np.float64]

WIDTH, HEIGHT = 768, 640
FINER = 2  # painted this much larger, so that edges come out smooth
WIDE, HIGH = WIDTH * FINER, HEIGHT * FINER


def clouds(rng: np.random.Generator, cells: int, octaves: int = 1) -> Array:
    """Smooth noise in 0..1, `(HIGH, WIDE)`, with so many cells across.

    Each further octave has cells of half the size and half the strength.
    """
    total = np.zeros((HIGH, WIDE))
    for octave in range(octaves):
        count = cells * 2**octave
        grid = Image.fromarray(rng.uniform(0, 1, (count * HEIGHT // WIDTH + 4, count + 4)).astype(np.float32))
        total += np.asarray(grid.resize((WIDE, HIGH), Image.Resampling.BICUBIC), float) / 2**octave
    low, high = np.quantile(total, (0.01, 0.99))
    within: Array = np.clip((total - low) / (high - low), 0, 1)
    return within


def blended(palette: Sequence[tuple[int, int, int]], place: Array) -> Array:
    """Colours of a palette, `(HIGH, WIDE, 3)`: 0 is the first one, 1 the last one."""
    stops = np.linspace(0, 1, len(palette))
    return np.stack([np.interp(place, stops, channel) for channel in np.array(palette, float).T], -1)


def finished(pixels: Array) -> Image.Image:
    """A picture of its final size from `(HIGH, WIDE, 3)` in 0..255."""
    whole = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return whole.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def paint_hatching() -> Image.Image:
    """Short strokes of a pen on white paper, closer together in the shadows, and crossed in the deepest."""
    rng = np.random.default_rng(1)
    tone, turn = clouds(rng, 5, 2), clouds(rng, 3)
    sheet = Image.new("L", (WIDE, HIGH), 250)
    draw = ImageDraw.Draw(sheet)
    for layer, limit in enumerate((0.75, 0.5, 0.28)):
        for _ in range(11000):
            x, y = rng.uniform(0, WIDE), rng.uniform(0, HIGH)
            row, column = int(y), int(x)
            if tone[row, column] > limit * rng.uniform(0.8, 1.1):
                continue
            angle = 2.2 * turn[row, column] + layer * 1.1 + rng.normal(0, 0.05)
            reach = rng.uniform(12, 30)
            dx, dy = reach * np.cos(angle), reach * np.sin(angle)
            ink = int(rng.uniform(15, 70))
            draw.line((x - dx, y - dy, x + dx, y + dy), fill=ink, width=int(rng.integers(2, 4)))
    return sheet.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).convert("RGB")


def paint_watercolour() -> Image.Image:
    """Pale washes on paper, darker along their edges, where the pigment dries."""
    rng = np.random.default_rng(2)
    pixels = np.full((HIGH, WIDE, 3), (250.0, 247.0, 240.0))
    for colour in [(150, 196, 214), (236, 190, 176), (188, 208, 160), (214, 182, 214), (244, 222, 160)] * 3:
        wash = clouds(rng, 4, 3)
        level = rng.uniform(0.55, 0.75)
        inside = np.clip((wash - level) / 0.02, 0, 1)
        edge = np.exp(-(((wash - level - 0.015) / 0.02) ** 2))
        strength = (inside * rng.uniform(0.15, 0.3) + 0.14 * edge)[..., None]
        pixels *= 1 - strength * (1 - np.array(colour) / 255)
    return finished(pixels + 5 * (clouds(rng, 300) - 0.5)[..., None])


def paint_nocturne() -> Image.Image:
    """A river at night: dark colours of low contrast in level strokes, and a few dim lights."""
    rng = np.random.default_rng(3)
    depth = np.linspace(0, 1, HIGH)[:, None] + 0.25 * (clouds(rng, 4, 3) - 0.5)
    pixels = blended([(10, 16, 30), (22, 34, 54), (30, 46, 60), (14, 24, 38)], np.clip(depth, 0, 1))
    picture = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    for _ in range(5200):
        x, y = int(rng.uniform(0, WIDE)), int(rng.uniform(0, HIGH))
        red, green, blue = pixels[y, x] + rng.normal(0, 6)
        length, width = rng.uniform(30, 130), int(rng.integers(4, 12))
        draw.line(
            (x, y, x + length, y + rng.normal(0, 4)), fill=(int(red), int(green), int(blue)), width=width
        )
    for _ in range(26):
        left, top = rng.uniform(0, WIDE), rng.uniform(0.35, 0.6) * HIGH
        for step in range(int(rng.uniform(6, 22))):
            reach = rng.uniform(4, 16)
            draw.line(
                (left - reach, top + 14 * step, left + reach, top + 14 * step), fill=(120, 96, 52), width=5
            )
    return finished(np.asarray(picture.filter(ImageFilter.GaussianBlur(2)), float))


def paint_woodcut() -> Image.Image:
    """Black ink and white cuts of a gouge, wide in the light and narrow in the shadow."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[0:HIGH, 0:WIDE]
    bend, tone = clouds(rng, 3, 2), clouds(rng, 5, 2)
    centre = np.hypot(x - 0.7 * WIDE, y - 0.3 * HIGH)
    cuts = np.sin(centre / 9 + 26 * bend) + 0.25 * (clouds(rng, 160) - 0.5)
    ink = cuts > 1.7 * tone - 0.9
    return finished(np.where(ink[..., None], (24.0, 20.0, 20.0), (238.0, 230.0, 214.0)))


def paint_points() -> Image.Image:
    """Small dots of pure colours side by side, which the eye mixes."""
    rng = np.random.default_rng(5)
    place, height = clouds(rng, 3, 2), np.linspace(0, 1, HIGH)[:, None]
    base = blended(
        [(60, 110, 60), (190, 180, 70), (240, 196, 120), (120, 150, 210)],
        np.clip(0.6 * place + 0.4 * height, 0, 1),
    )
    pure = np.array([(226, 84, 48), (58, 92, 190), (250, 214, 70), (64, 150, 76), (180, 90, 160)], float)
    canvas = Image.new("RGB", (WIDE, HIGH), (236, 226, 204))
    draw = ImageDraw.Draw(canvas)
    for _ in range(60000):
        x, y, size = rng.uniform(0, WIDE), rng.uniform(0, HIGH), rng.uniform(4, 9)
        share = 0.45 * rng.uniform() ** 2
        colour = (
            (1 - share) * base[int(y), int(x)] + share * pure[rng.integers(len(pure))] + rng.normal(0, 14)
        )
        red, green, blue = (int(channel) for channel in colour.clip(0, 255))
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(red, green, blue))
    return canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def paint_marbling() -> Image.Image:
    """Inks that float on water and are combed into waves, as on the endpapers of old books."""
    rng = np.random.default_rng(6)
    y, x = np.mgrid[0:HIGH, 0:WIDE] / WIDE
    comb = 0.05 * np.sin(40 * y) + 0.03 * np.sin(90 * x)
    bands = 9 * (x + comb + 0.35 * clouds(rng, 4, 3)) + 2 * np.sin(14 * (y + 0.2 * clouds(rng, 5)))
    palette = [(30, 52, 92), (196, 62, 52), (238, 222, 186), (84, 140, 130), (226, 168, 72), (30, 52, 92)]
    pixels = blended(palette, bands % 1)
    veins = np.exp(-(((bands * 3 % 1) - 0.5) ** 2) / 0.004)[..., None]
    return finished(pixels * (1 - 0.55 * veins))


def paint_shapes() -> Image.Image:
    """A poster: a few large shapes of flat colours."""
    rng = np.random.default_rng(8)
    palette = [(210, 58, 42), (28, 28, 30), (238, 232, 218), (240, 180, 40), (40, 92, 150)]
    canvas = Image.new("RGB", (WIDE, HIGH), (232, 222, 200))
    draw = ImageDraw.Draw(canvas)
    for number in range(46):
        x, y, size = rng.uniform(0, WIDE), rng.uniform(0, HIGH), 300 * rng.uniform(0.15, 1) ** 1.5
        fill = palette[rng.integers(len(palette))]
        if number % 3 == 0:
            draw.ellipse((x - size, y - size, x + size, y + size), fill=fill)
            continue
        turn, aspect = rng.uniform(0, 3.14), rng.uniform(0.05, 0.5)
        along = 1.6 * size * np.array((np.cos(turn), np.sin(turn)))
        across = aspect * np.array((-along[1], along[0]))
        corners = [along + across, along - across, -along - across, -along + across]
        draw.polygon([(x + dx, y + dy) for dx, dy in corners], fill=fill)
    return canvas.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


PAINTERS = (
    *(paint_hatching, paint_watercolour, paint_nocturne, paint_woodcut),
    *(paint_points, paint_marbling, paint_shapes),
)

if __name__ == "__main__":
    folder = Path(__file__).parent
    for paint in PAINTERS:
        paint().save(folder / f"{paint.__name__.removeprefix('paint_')}.jpg", quality=88)
