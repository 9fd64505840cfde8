"""Measures on an NVIDIA GPU how long an evaluation takes with and without CUDA graphs.

    python -m benchmarks.graphs

Each row is a batch of pairs of one size, at their finest scale only. The time is that of four more epochs:
the difference of a run of six and a run of two.
"""

import time
from itertools import cycle, islice
from unittest.mock import patch

import torch

from benchmarks.machine import describe
from benchmarks.pictures import PAIRS, landscape, prepared
from nst import PreparedPair, Stylizer
from nst.parameters import ITERATIONS_PER_EPOCH
from pipeline.engines.trial import finest

CASES = ((1, 256), (1, 512), (4, 512), (8, 512), (16, 256), (16, 512), (1, 1024))
_FEW, _MANY = 2, 6  # epochs


def pair_of(names: tuple[str, str], size: int, epochs: int) -> PreparedPair:
    """A pair of example images, cropped to one shape, without its coarse scales."""
    content, style = (landscape(name, size) for name in names)
    return finest(prepared(content, style, epochs))


def seconds(stylizer: Stylizer, batch: int, size: int, epochs: int) -> float:
    """The time of the second of two equal runs."""
    pairs = [pair_of(names, size, epochs) for names in islice(cycle(PAIRS), batch)]
    stylizer.run(pairs)
    torch.cuda.synchronize()
    began = time.perf_counter()
    stylizer.run(pairs)
    torch.cuda.synchronize()
    return time.perf_counter() - began


def milliseconds(stylizer: Stylizer, batch: int, size: int) -> float:
    """The time of one evaluation of the batch."""
    more = seconds(stylizer, batch, size, _MANY) - seconds(stylizer, batch, size, _FEW)
    return 1000 * more / ((_MANY - _FEW) * ITERATIONS_PER_EPOCH)


def main() -> None:
    """Print the table."""
    stylizer = Stylizer(device="cuda")
    print(f"{describe()}\n\n| pairs | size, px | with graphs, ms | without, ms |\n|---|---|---|---|")
    for batch, size in CASES:
        graphs = milliseconds(stylizer, batch, size)
        with patch("nst.targets.LARGEST", 0):  # the most pixels of a batch that graphs compute
            single = milliseconds(stylizer, batch, size)
        print(f"| {batch} | {size} | {graphs:.2f} | {single:.2f} |", flush=True)


if __name__ == "__main__":
    main()
