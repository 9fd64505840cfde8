"""Neural style transfer after Gatys, Ecker and Bethge (2015, arXiv 1508.06576).

Equation numbers in this package are those of that paper. Every deviation from its method is described in the
module that makes it, in a paragraph that starts with 'Departure from Gatys et al.'; the measured gains are
from `benchmarks/README.md`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from nst import heap
from nst.errors import DownloadError, ImageError, NSTError, WeightsError
from nst.parameters import Parameters

if TYPE_CHECKING:
    from nst.pair import PreparedPair, Style
    from nst.previews import PreviewCallbacks
    from nst.result import Evaluation, Losses, Result, Snapshot
    from nst.stylizer import Stylizer

__version__ = "0.2.0"
__all__ = [
    "DownloadError",
    "Evaluation",
    "ImageError",
    "Losses",
    "NSTError",
    "Parameters",
    "PreparedPair",
    "PreviewCallbacks",
    "Result",
    "Snapshot",
    "Style",
    "Stylizer",
    "WeightsError",
]

# Threads of OpenMP that wait actively take the processor from other processes: two runners on one machine
# took more than three times as long. OpenMP reads this when PyTorch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Large pages for large tensors: an evaluation takes up to a fifth less time. PyTorch reads this at its first
# tensor.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

heap.use_one_heap()

_LAZY = {
    "Evaluation": "nst.result",
    "Losses": "nst.result",
    "PreparedPair": "nst.pair",
    "PreviewCallbacks": "nst.previews",
    "Result": "nst.result",
    "Snapshot": "nst.result",
    "Style": "nst.pair",
    "Stylizer": "nst.stylizer",
}


def __getattr__(name: str) -> Any:
    # Importing PyTorch takes seconds. Programs that only use `Parameters` or the errors need not wait for it.
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'nst' has no attribute '{name}'")
