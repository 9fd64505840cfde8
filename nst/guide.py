"""The objective as the search looks at it: by gradients that cost less and lead faster."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.objective import Objective, Terms, gram_error, total_variation
from nst.parameters import LAYERS

_DAMPING = 0.4  # of a Gram matrix's norm; 0.3 takes as many steps, about 0.2 or 1 more
_REFRESH = 40  # evaluations for which the slope of the deepest layer serves
_SMALL = 0.1  # the deepest layer's share of the style term below which that does no harm
_PACE, _PROGRESS = 10, 0.05  # damping goes on while so many steps lower the loss by this share


class Guide:
    """Evaluates an objective for a search, with two liberties that the result is not judged by.

    *Damping.* A Gram matrix of VGG19 has one eigenvalue, that of the mean activation, ten times the next.
    Where λ is that of the style's matrix G, v its vector and R the difference to G, descending along M R M
    with M = (1 + λ/d v vᵀ)^-1 and d = 0.4 |G| instead of along R keeps that one direction from dictating
    every step. It has another minimum than the objective where the content pulls against the style, so it
    ends as soon as progress slows down.

    *Lagging.* The deepest style layer, relu5_1 unless chosen otherwise, takes a third of the work and gives
    about a hundredth of the gradient. While its share is as small as that, it is looked at now and then
    and taken for linear in between; for all pairs of a batch, or for none. `correction`, `(B,)`, says by
    how much the last evaluation found the style terms told before it to be too low.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._held = {name: _held_back(target) for name, target in objective.grams.items()}
        each = next(iter(objective.grams.values()))[:, 0, 0]  # a number for each pair
        self._damped = torch.ones_like(each, dtype=torch.bool)
        self._earlier = torch.full_like(each, torch.inf)
        self._deep = _deepest(objective)
        self._matters = False
        self._value = self._slope = self._origin = torch.empty(0)
        self._step = 0
        self.correction = torch.zeros_like(self._earlier)

    def __call__(self, image: Tensor) -> tuple[Terms, Tensor]:
        """`(B, 3, H, W)` with a graph -> its terms, and the deepest layer's share of style, `(B,)`."""
        errors = {
            name: partial(_DampedError.apply, target, self._held[name], self._damped)
            for name, target in self._objective.grams.items()
        }
        skipped = self._deep if self._step % _REFRESH and not self._matters else None
        if skipped:
            errors.pop(skipped)
        content, style = self._objective.by_layer(image, errors)
        linear = self.correction = image.new_zeros(len(image))
        if self._deep and not skipped:
            self._look(style, self._deep, image)
        if self._deep:
            linear = self._linear(image)
        self._step += 1
        deep = linear.clamp_min(0)  # which an error never falls below
        total = torch.stack([deep, *style.values()]).sum(0)
        return Terms(content, total, total_variation(image)), (linear / total).detach().abs()

    def progress(self, loss: Tensor) -> None:
        """Tell the best losses so far, `(B,)`; decides, on the device, for whom the damping goes on."""
        if self._step % _PACE == 0:
            self._damped = self._damped & (loss < (1 - _PROGRESS) * self._earlier)
            self._earlier = loss

    def weigh(self, share: float) -> None:
        """Tell the largest share seen of the deepest layer; a layer that matters does not lag any more."""
        self._matters = self._matters or share > _SMALL

    def _look(self, style: dict[str, Tensor], name: str, image: Tensor) -> None:
        """Take the deepest layer out of `style` and note where it leads; leave it there if it matters."""
        if self._step:
            self.correction = style[name].detach() - self._linear(image).detach().clamp_min(0)
        if self._matters:
            self._deep = None
            return
        found = style.pop(name)
        (self._slope,) = torch.autograd.grad(found.sum(), image, retain_graph=True)
        self._value, self._origin = found.detach(), image.detach()

    def _linear(self, image: Tensor) -> Tensor:
        return self._value + (self._slope * (image - self._origin)).flatten(1).sum(1)


class _DampedError(torch.autograd.Function):
    """`gram_error`, whose gradient has for damped pairs M R M in the place of R, where M = 1 - u uᵀ."""

    @staticmethod
    def forward(ctx: Any, target: Tensor, u: Tensor, damped: Tensor, found: Tensor) -> Tensor:
        ctx.save_for_backward(found - target, u, damped)
        return gram_error(found, target)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor]:
        difference, u, damped = ctx.saved_tensors
        u = u * damped[:, None]
        product = _times(difference, u)
        a = product - 0.5 * (u * product).sum(1, keepdim=True) * u
        # R - u aᵀ - a uᵀ is M R M, written out.
        seen = torch.baddbmm(difference, torch.stack([u, a], 2), torch.stack([a, u], 1), alpha=-1)
        return None, None, None, 2 / seen[0].numel() * grads[0][:, None, None] * seen


def _held_back(target: Tensor) -> Tensor:
    """Gram matrices `(B, C, C)` -> `(B, C)`: the u of each M = 1 - u uᵀ, that is v times √(λ / (λ + d)).

    By power iteration, for which a GPU need not wait; from the sum of the rows, as no entry is negative.
    """
    v = F.normalize(target.sum(2))
    for _ in range(8):
        v = F.normalize(_times(target, v))
    eigenvalue = (v * _times(target, v)).sum(1, keepdim=True)
    d = _DAMPING * torch.linalg.matrix_norm(target)[:, None]
    u: Tensor = (eigenvalue / (eigenvalue + d).clamp_min(1e-30)).sqrt() * v
    return u


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    product: Tensor = torch.einsum("bij,bj->bi", matrix, vector)
    return product


def _deepest(objective: Objective) -> str | None:
    """The last style layer, if it lies deeper than all else that is looked at."""
    *others, last = sorted({*objective.layers.content, *objective.grams}, key=LAYERS.index)
    return last if set(others) & set(objective.grams) and last not in objective.layers.content else None
