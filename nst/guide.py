"""Evaluation of the objective for the search, with a gradient that is cheaper and better conditioned.

The search minimises what the guide returns. The loss that a result is judged by never comes from the guide:
it is computed by the objective itself.

Departure from Gatys et al.: the gradient of the style error is damped along the strongest eigenvector of each
style's Gram matrix (see `nst.damping`) as long as the search progresses fast. A damped search has a different
minimum wherever content and style contradict each other. Damping therefore ends, for each pair, as soon as
ten evaluations lower its loss by less than 5 %. Ending at 5 % instead of 10 % takes 2 % fewer evaluations,
and the loss is lower by 1 to 2 % after five epochs.

Departure from Gatys et al.: the deepest style layer (relu5_1 by default) takes a third of the work of an
evaluation and contributes about a hundredth of the gradient. It is evaluated only at every 40th evaluation,
at the picture x₀, and extrapolated linearly in between: E(x) ≈ max(0, E(x₀) + ∇E(x₀)·(x - x₀)). Evaluating it
at every 20th evaluation saves a quarter of the time and takes as many evaluations; at every 40th, another
twentieth of the time. It has a pass of its own then, so that its features need not be kept for the other
layers. That takes a hundredth of the time, and a tenth less memory at 1024 px. It is evaluated every time,
together with the other layers, once its share of the style term exceeds a tenth.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from nst.damping import damped_direction, damped_gram_error
from nst.objective import Objective, Terms, total_variation
from nst.vgg import in_order

_REFRESH_INTERVAL = 40  # evaluations between two evaluations of the deepest layer
_SMALL_SHARE = 0.1  # of the style term; a deepest layer with a larger share is not extrapolated
_WINDOW, _FAST = 10, 0.05  # damping continues while so many evaluations lower the loss by at least this share


class Mode(NamedTuple):
    """What a step computes of the deepest layer."""

    extrapolates: bool
    """Its error is extrapolated. Otherwise the layer is evaluated together with the others."""
    refreshes: bool
    """Its error is compared with the extrapolated one, if there is one.

    If the error is extrapolated, it is computed for that, and this starts anew at this step's picture.
    """

    @property
    def stops(self) -> bool:
        """Whether this is the one step after which the error is never extrapolated again."""
        return self.refreshes and not self.extrapolates


class GuideStep(NamedTuple):
    """One evaluation of a batch. Only `terms` have a graph."""

    terms: Terms
    correction: Tensor
    """`(B,)`: how much too low the style term of the last evaluations was (negative: too high).

    If the deepest layer was evaluated again, this is its error minus the extrapolated error, otherwise 0.
    """
    deepest_share: Tensor
    """`(B,)`: the deepest layer's share of the style term, 0 or above; 0 if no layer is extrapolated."""


class Guide:
    """Evaluates an objective step by step for the search that minimises it.

    The state is of the whole batch: the deepest layer is extrapolated for all of its pairs or for none.
    Damping is decided for each pair, on the device. All tensors of the state keep their place in memory.
    """

    def __init__(self, objective: Objective, with_tv: bool = False) -> None:
        """Without `with_tv`, the total variation gets no graph, which saves memory: its weight must be 0."""
        self._objective, self._with_tv = objective, with_tv
        self._directions = {name: damped_direction(target) for name, target in objective.grams.items()}
        # One number of each pair, `(B,)`: only the shape, the type and the device are used.
        per_pair = next(iter(objective.grams.values()))[:: objective.regions, 0, 0]
        self._damped = torch.ones_like(per_pair, dtype=torch.bool)
        self._earlier_loss = torch.full_like(per_pair, torch.inf)
        self._count = torch.zeros(1, dtype=torch.int64, device=per_pair.device)
        self._deepest = _deepest_style_layer(objective)
        self._extrapolates = self._deepest is not None
        self._tangent: _Tangent | None = None
        self._steps = 0

    def next_mode(self, shares: Sequence[float] = ()) -> Mode:
        """What the next step must compute. Call it once for each step.

        `shares` are the numbers of earlier `deepest_share`s that the host has read since the last step; on a
        GPU they may be some steps old. As soon as one exceeds 0.1, the deepest layer is evaluated at every
        step.
        """
        due = self._steps % _REFRESH_INTERVAL == 0
        self._steps += 1
        if self._extrapolates and any(share > _SMALL_SHARE for share in shares):
            self._extrapolates = False
            return Mode(extrapolates=False, refreshes=True)
        return Mode(self._extrapolates, refreshes=self._extrapolates and due)

    def step(self, image: Tensor, best_loss: Tensor, mode: Mode) -> GuideStep:
        """Evaluate the objective at `image`, `(B, 3, H, W)` with a graph, the search's next point.

        `best_loss`, `(B,)`, is the lowest loss of each pair so far (infinite before the first step); it
        decides how long the gradient stays damped.
        """
        self._update_damping(best_loss)
        errors, last = self._errors(), self._deepest
        deepest = correction = image.new_zeros(len(image))
        expected = self._tangent(image.detach()).clamp_min(0) if self._tangent and mode.refreshes else None
        exact: Tensor | None = None
        if last and mode.extrapolates:
            error = errors.pop(last)
            self._tangent = self._tangent or _Tangent(image)
            if mode.refreshes:
                exact = self._tangent.touch(partial(self._error_of, last, error), image)
            deepest = self._tangent(image)
        content, style = self._objective.by_layer(image, errors)
        if last and mode.stops:
            exact, self._tangent = style[last].detach(), None
        if exact is not None and expected is not None:
            correction = exact - expected
        # An error is never negative, but its extrapolation may be.
        total = torch.stack([deepest.clamp_min(0), *style.values()]).sum(0)
        variation = total_variation(image if self._with_tv else image.detach())
        terms = Terms(content, total, variation)
        return GuideStep(terms, correction, (deepest / total).detach().abs())

    def _errors(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """What maps the Gram matrices of each style layer to their errors."""
        damped = self._damped.repeat_interleave(self._objective.regions)
        return {
            name: partial(damped_gram_error, target=target, direction=self._directions[name], damped=damped)
            for name, target in self._objective.grams.items()
        }

    def _error_of(self, layer: str, error: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        """The weighted error, `(B,)`, of one style layer."""
        _, style = self._objective.by_layer(image, {layer: error})
        return style[layer]

    def _update_damping(self, best_loss: Tensor) -> None:
        due = (self._count % _WINDOW == 0) & (self._count > 0)
        self._damped &= ~due | (best_loss < (1 - _FAST) * self._earlier_loss)
        torch.where(due, best_loss, self._earlier_loss, out=self._earlier_loss)
        self._count += 1


class _Tangent:
    """The first-order Taylor expansion of a layer's style error, `(B,)`, for pictures `(B, 3, H, W)`.

    It is kept as a constant and a gradient, so that no picture has to be kept.
    """

    def __init__(self, like: Tensor) -> None:
        """`like` is a picture of the same shape. Call `touch` first."""
        self._constant = like.new_zeros(len(like))
        self._gradient = torch.zeros_like(like)

    def touch(self, error: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
        """Expand an error, a function of pictures, around this picture, and return the error there.

        Nothing that the error is computed from is kept.
        """
        point = image.detach().requires_grad_()
        found = error(point)
        (gradient,) = torch.autograd.grad(found.sum(), point)
        with torch.no_grad():
            self._gradient.copy_(gradient)
            self._constant.copy_(found - _products(gradient, point))
        return found.detach()

    def __call__(self, image: Tensor) -> Tensor:
        return self._constant + _products(self._gradient, image)


def _products(gradient: Tensor, image: Tensor) -> Tensor:
    return (gradient * image).flatten(1).sum(1)


def _deepest_style_layer(objective: Objective) -> str | None:
    """The last style layer, if it is deeper than all content layers and is not the only style layer."""
    *others, last = in_order({*objective.layers.content, *objective.grams})
    return last if set(others) & set(objective.grams) and last not in objective.layers.content else None
