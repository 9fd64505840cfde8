"""About how long a pair will take, found out by two evaluations of it at a small scale."""

import time

import torch

from nst.pair import PreparedPair
from nst.scales import evaluations_by_scale
from nst.targets import Targets

_SIDE = 512  # pixels of the longest side that is tried
_TILED = 1.8  # how much longer a picture in tiles takes than a whole one


def expected_seconds(targets: Targets, pair: PreparedPair) -> float:
    """How long a pair takes alone, if no scale ends early."""
    sizes = [picture.size for picture in pair.contents]
    level = max(index for index, size in enumerate(sizes) if index == 0 or max(size) <= _SIDE)
    objective = targets.objective([pair], level)
    picture = targets.contents([pair], level).requires_grad_(True)
    for _ in range(2):  # the first one is slower
        began = time.perf_counter()
        terms = objective(picture)
        (gradient,) = torch.autograd.grad((terms.content + terms.style).sum(), picture)
        gradient.sum().item()  # waits for a GPU
        seconds = time.perf_counter() - began
    total = 0.0
    for index, evaluations in enumerate(evaluations_by_scale(pair)):
        width, height = sizes[index]
        share = width * height / (sizes[level][0] * sizes[level][1])
        factor = _TILED if targets.plan([pair], index).tile else 1.0
        total += evaluations * share * factor * seconds
    return total
