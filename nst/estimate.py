"""About how long a pair will take, found out by one evaluation of it at a small scale."""

import time
from collections.abc import Sequence

import torch

from nst.pair import PreparedPair
from nst.scales import evaluations_by_scale
from nst.targets import Targets

_SIDE = 512  # pixels of the longest side that is tried
_TILED = 1.6  # how much longer a picture in tiles takes than a whole one


def expected_seconds(targets: Targets, pairs: Sequence[PreparedPair]) -> float:
    """How long a batch of pairs of equal `group` takes, if no scale ends early."""
    sizes = [picture.size for picture in pairs[0].contents]
    level = max(index for index, size in enumerate(sizes) if index == 0 or max(size) <= _SIDE)
    objective = targets.objective(pairs, level)
    picture = targets.contents(pairs, level).requires_grad_(True)
    for _ in range(2):  # the first one is slower
        began = time.perf_counter()
        terms = objective(picture)
        (gradient,) = torch.autograd.grad(terms.style.sum(), picture)
        gradient.sum().item()  # waits for a GPU
        seconds = time.perf_counter() - began
    total = 0.0
    for index, (width, height) in enumerate(sizes):
        share = width * height / (sizes[level][0] * sizes[level][1])
        factor = _TILED if targets.plan(pairs, index).tile else 1.0
        total += evaluations_by_scale(pairs[0])[index] * share * factor * seconds
    return total
