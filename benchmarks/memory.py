"""Counts the memory that a square picture needs on a GPU; no GPU is needed.

    python -m benchmarks.memory

The tensors are fake: they have a shape but no values. The figure is the maximum of the
bytes of all tensors that exist at the same time, in three iterations on the finest scale, with bf16 features.
It does not include the memory of cuDNN and the driver, and the weights of the networks, 0.12 GB.
"""

import weakref
from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.shape import prepared
from nst import Stylizer
from nst.canvas import Canvas
from nst.guide import Guide
from nst.lbfgs import LBFGS
from nst.memory import _LARGEST_TILES
from pipeline.engines.trial import finest

CASES = ((512, 80), (1024, 80), (2048, 80), (4096, 80), (4096, 24), (8192, 80), (8192, 24))
ITERATIONS = 3


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operators have allocated and that are not freed yet."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known:
            return

        def free() -> None:
            self._known.discard(key)
            self.bytes -= size

        weakref.finalize(storage, free)
        self._known.add(key)
        self.bytes += size
        self.most = max(self.most, self.bytes)


def most(stylizer: Stylizer, side: int) -> float:
    """Peak gigabytes of the tensors that one square picture needs."""
    alive, pairs = Alive(), [finest(prepared(side))]
    with FakeTensorMode(allow_non_fake_inputs=True), alive:
        objective = stylizer.targets.objective(pairs, -1)
        canvas = Canvas(side, side, stylizer.device)
        variables = canvas.encode(stylizer.targets.contents(pairs, -1))
        steps, guide = stylizer.targets.plan(pairs, -1).steps, Guide(objective)
        optimiser = LBFGS(variables, history=steps, bands=canvas.bands)
        for _ in range(ITERATIONS):
            variables = optimiser.trial.detach().requires_grad_()
            terms, _, _ = guide.step(canvas.decode(variables), optimiser.best_loss, guide.next_mode())
            total = terms.content + 1e6 * terms.style
            (gradient,) = torch.autograd.grad(total.sum(), variables)
            with torch.no_grad():
                optimiser.step(total.detach(), gradient)
    return alive.most / 1e9


def main() -> None:
    """Print the table."""
    print("| side, px | memory that it may take, GB | pixels of a tile, millions | steps | peak, GB |")
    print("|---|---|---|---|---|")
    for side, memory in CASES:
        stylizer = Stylizer(device="cpu", dtype="bf16")
        stylizer.targets.memory.bytes = int(memory * 1e9)
        # oneDNN's convolutions, which are of CPUs only, cannot be computed with fake tensors.
        without_onednn = patch("nst.onednn.suits", lambda x: False)
        with patch.dict(_LARGEST_TILES, cpu=_LARGEST_TILES["cuda"]), without_onednn:
            plan = stylizer.targets.plan([finest(prepared(side))], -1)
            peak = most(stylizer, side)
        tile = f"{plan.tile / 1e6:.1f}" if plan.tile else "whole"
        print(f"| {side} | {memory:g} | {tile} | {plan.steps} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
