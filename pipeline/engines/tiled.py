"""Says how a picture that is too large for the memory will be computed."""

from nst.pair import PreparedPair
from nst.stylizer import Stylizer
from pipeline.engines.base import Task
from pipeline.events.listener import Note


def note_of_tiles(stylizer: Stylizer, task: Task, pair: PreparedPair) -> Note | None:
    """The size of the tiles and about how long the pair takes; none for a pair that needs no tiles."""
    tile = stylizer.plan(pair).tile
    if not tile:
        return None
    width, height = pair.contents[-1].size
    message = (
        f"{task.pair.place or task.manifest}: {width}x{height} is computed in tiles of at most "
        f"{tile / 1e6:.1f} megapixels; this takes up to {_duration(stylizer.expected_seconds(pair))}"
    )
    return Note(message, details={"manifest": task.manifest, "pair": task.pair.id})


def _duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 6000 else f"{max(1, round(seconds / 60))} minutes"
