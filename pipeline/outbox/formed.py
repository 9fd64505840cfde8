"""The HTML that shows how a picture formed: an animation of its snapshots, and links to each of them."""

from urllib.parse import quote

from pipeline.outbox.html import text
from pipeline.outbox.record import Record


def animation(record: Record) -> str:
    """The animation of a card, with links; nothing without snapshots.

    Where the reader prefers reduced motion, it is the last snapshot, and the link shows the animation.
    """
    found = record.snapshots
    if found is None:
        return ""
    moving, width, height = quote(found.animation), record.width, record.height
    steps = "\n".join(
        f'<a href="{quote(picture)}">{step:,}</a>'
        for picture, step in zip(found.pictures, found.steps, strict=False)
    )
    return f"""<details class="formed" open><summary>How it formed</summary>
<a href="{moving}"><picture>
<source media="(prefers-reduced-motion: reduce)" srcset="{quote(found.pictures[-1])}">
<img src="{moving}" alt="{text(record.id)}, how it formed" width="{width}" height="{height}"
style="--w:{width}" loading="lazy" decoding="async"></picture></a>
<p class="links"><a href="{moving}">Animation</a><span>at evaluation</span>
{steps}</p></details>
"""


def link(record: Record) -> str:
    """A link to the animation, for the cell of a grid; nothing without snapshots."""
    if record.snapshots is None:
        return ""
    return f'<a class="moving" href="{quote(record.snapshots.animation)}">How it formed</a>'


CSS = """
.formed picture { display: block; padding: 0.5rem 0; }
.formed img { display: block; width: min(100%, 24rem, 2px * var(--w)); height: auto; }
.formed .links { gap: 0.125rem 0.625rem; font-size: 0.8125rem; color: var(--quiet); }
.moving { padding-top: 0.125rem; font-size: 0.8125rem; text-align: center; }
"""
