"""The objective as the search looks at it: by gradients that cost less and lead faster."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from nst.objective import Objective, Terms, gram_error, total_variation
from nst.parameters import LAYERS

_DAMPING = 0.4  # of a Gram matrix's norm; eigenvalues above this are held back
_REFRESH = 20  # evaluations for which the slope of the deepest layer serves
_SMALL = 0.1  # the deepest layer's share of the style term below which that does no harm
_PACE, _PROGRESS = 10, 0.1  # damping goes on while so many steps lower the loss by this share


class Guide:
    """Evaluates an objective for a search, with two liberties that the result is not judged by.

    *Damping.* A Gram matrix of VGG19 has one eigenvalue, that of the mean activation, ten times the next.
    Where G is the style's matrix and R the difference to it, descending along M R M with M = d (G + d)^-1
    instead of along R keeps that one direction from dictating every step. It has another minimum than the
    objective where the content pulls against the style, so it ends as soon as progress slows down.

    *Lagging.* The deepest style layer, relu5_1 unless chosen otherwise, takes a third of the work and gives
    about a hundredth of the gradient. While its share is as small as that, it is looked at every few steps
    and taken for linear in between; for all pairs of a batch, or for none.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._metrics = {name: _metric(target) for name, target in objective.grams.items()}
        each = next(iter(objective.grams.values()))[:, 0, 0]  # a number for each pair
        self._damped = torch.ones_like(each, dtype=torch.bool)
        self._earlier = torch.full_like(each, torch.inf)
        self._deep = _deepest(objective)
        self._value = self._slope = self._origin = torch.empty(0)
        self._step = 0

    def __call__(self, image: Tensor) -> tuple[Terms, Tensor]:
        """`(B, 3, H, W)` with a graph -> its terms, and the deepest layer's share of style, `(B,)`."""
        errors = {
            name: partial(_DampedError.apply, target, self._metrics[name], self._damped)
            for name, target in self._objective.grams.items()
        }
        skipped = self._deep if self._step % _REFRESH else None
        self._step += 1
        if skipped:
            errors.pop(skipped)
        content, style = self._objective.by_layer(image, errors)
        if self._deep is None:
            linear = deep = image.new_zeros(len(image))
        else:
            if not skipped:
                self._look(style.pop(self._deep), image)
            linear = self._value + (self._slope * (image - self._origin)).flatten(1).sum(1)
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
        if share > _SMALL:
            self._deep = None

    def _look(self, deep: Tensor, image: Tensor) -> None:
        (self._slope,) = torch.autograd.grad(deep.sum(), image, retain_graph=True)
        self._value, self._origin = deep.detach(), image.detach()


class _DampedError(torch.autograd.Function):
    """`gram_error`, whose gradient is for damped pairs that of the matrices as `metric` sees them."""

    @staticmethod
    def forward(ctx: Any, target: Tensor, metric: Tensor, damped: Tensor, found: Tensor) -> Tensor:
        ctx.save_for_backward(found - target, metric, damped)
        return gram_error(found, target)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, None, None, Tensor]:
        difference, metric, damped = ctx.saved_tensors
        seen = torch.where(damped[:, None, None], metric @ difference @ metric, difference)
        return None, None, None, 2 / seen[0].numel() * grads[0][:, None, None] * seen


def _metric(target: Tensor) -> Tensor:
    size: Tensor = _DAMPING * torch.linalg.matrix_norm(target)[:, None, None]
    identity = torch.eye(target.shape[1], device=target.device).expand_as(target)
    # Without the check for singular matrices, which these can't be and for which a GPU would have to wait.
    inverse: Tensor = torch.linalg.inv_ex(target + size.clamp_min(1e-12) * identity).inverse
    return size * inverse


def _deepest(objective: Objective) -> str | None:
    """The last style layer, if it lies deeper than all else that is looked at."""
    *others, last = sorted({*objective.layers.content, *objective.grams}, key=LAYERS.index)
    return last if set(others) & set(objective.grams) and last not in objective.layers.content else None
