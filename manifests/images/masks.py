"""Draws the masks of the demo over `astronaut.jpg`, which is 512 x 512 pixels.

python manifests/images/masks.py
"""

from pathlib import Path

from PIL import Image, ImageDraw, ImageFilter, ImageOps

SIZE = (512, 512)
SUIT = [
    *((124, 206), (96, 226), (72, 242), (56, 290), (30, 340), (24, 440), (8, 512), (290, 512), (300, 400)),
    *((366, 348), (354, 290), (334, 258), (296, 236)),
]
RING, HELMET = (112, 148, 304, 296), (276, 342, 522, 590)
HAIR, FACE = (156, 17, 299, 133), (180, 60, 272, 190)


def softened(mask: Image.Image, radius: float) -> Image.Image:
    """The mask with soft edges of about this many pixels."""
    return mask.filter(ImageFilter.GaussianBlur(radius))


def suit() -> Image.Image:
    """The space suit and the helmet."""
    mask = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(mask)
    draw.polygon(SUIT, 255)
    draw.ellipse(RING, 255)
    draw.ellipse(HELMET, 255)
    return softened(mask, 3)


def head() -> Image.Image:
    """The face and the hair."""
    mask = Image.new("L", SIZE, 0)
    draw = ImageDraw.Draw(mask)
    draw.ellipse(HAIR, 255)
    draw.ellipse(FACE, 255)
    return softened(mask, 3)


if __name__ == "__main__":
    folder = Path(__file__).parent
    suit().save(folder / "suit-mask.png")
    ImageOps.invert(suit()).save(folder / "background-mask.png")
    head().save(folder / "head-mask.png")
