"""Words for the error of a pair."""

from nst.device import is_out_of_memory
from nst.errors import NSTError
from pipeline.engines.base import Failed, Task
from pipeline.errors import problems_of
from pipeline.manifest.models import Pair


def failed(task: Task, error: Exception) -> Failed:
    """The outcome of a task that ended with an error."""
    return Failed(task, problems_of(in_words(error, task.pair), task.pair.place, task.pair.id)[0])


def in_words(error: Exception, pair: Pair) -> Exception:
    """An error about a pair; if it is lack of memory, one with the remedy in its place."""
    if not is_out_of_memory(error):
        return error
    p = pair.parameters
    scale = f" or style_scale from {p.style_scale:g}" if p.style_scale > 1 else ""
    remedy = f"lower max_size from {p.max_size}{scale}, or end other programs that use this memory"
    return NSTError(f"too large for the memory at hand; {remedy}")
