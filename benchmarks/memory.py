"""How much memory a square picture needs on a GPU, counted without one.

    python -m benchmarks.memory

Tensors are only pretended, so that nothing is computed: what is counted are the bytes of those alive at once
in three iterations on the finest scale, with bf16 features. What cuDNN and the driver take comes on top.
"""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nst import Parameters, transfer
from nst.canvas import Canvas
from nst.guide import Guide
from nst.lbfgs import LBFGS
from nst.objective import Layers, Objective, style_grams
from nst.vgg import HUGE, VGG19
from nst.weights import load_weights

SIZES, ITERATIONS = (512, 1024, 2048, 4096), 3


class Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of the storages that operators make, until they are freed."""

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


def most(side: int) -> float:
    """Peak gigabytes of the tensors that one square picture needs, network included."""
    real, alive = load_weights(), Alive()
    with FakeTensorMode(), alive:
        kernels = {name: torch.empty(kernel.shape) for name, kernel in real.kernels.items()}
        biases = {name: torch.empty(bias.shape) for name, bias in real.biases.items()}
        network = VGG19(replace(real, kernels=kernels, biases=biases), torch.bfloat16)
        p = Parameters()
        layers = Layers(p.content_layers, p.style_layers, p.pooling)
        picture = torch.empty(1, 3, side, side)
        objective = Objective(network, picture, style_grams(network, picture, layers), layers)
        canvas = Canvas(side, side, picture.device)
        variables = canvas.encode(picture)
        history = transfer._SHORT if side**2 > HUGE else transfer._HISTORY
        optimiser, guide = LBFGS(variables, history=history), Guide(objective)
        for _ in range(ITERATIONS):
            variables.requires_grad_()
            terms, _ = guide(canvas.decode(variables))
            total = terms.content + p.style_weight * terms.style
            (gradient,) = torch.autograd.grad(total.sum(), variables)
            with torch.no_grad():
                variables = optimiser.step(total.detach(), gradient)
    return alive.most / 1e9


def main() -> None:
    """Print the table."""
    for side in SIZES:
        print(f"{side} px: {most(side):.2f} GB", flush=True)


if __name__ == "__main__":
    main()
