"""The search for the best pictures of a batch at one scale, evaluation by evaluation."""

from collections.abc import Callable, Hashable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from nst.canvas import Canvas
from nst.guide import Guide, Mode
from nst.lbfgs import LBFGS
from nst.objective import Objective, Terms
from nst.tape import Row

_FIRST_CHANGE = 0.02  # mean change of a pixel by the first step, where 1 is the range from black to white

Numbers = Row[Tensor]
Repeat = Callable[[Hashable, Callable[[], Numbers]], Numbers]
"""Runs a step whose operations are the same each time that it gets this key."""


class Search:
    """Minimises the weighted sum of an objective's terms.

    No number is read back to the host between two steps.
    """

    def __init__(
        self,
        objective: Objective,
        canvas: Canvas,
        optimiser: LBFGS,
        weights: Terms,
        repeat: Repeat,
        with_tv: bool,
    ) -> None:
        """`optimiser` starts at the variables of the first pictures. `weights` are `(B,)` each.

        Without `with_tv`, the weight of the total variation must be 0.
        """
        self._objective, self._canvas, self._optimiser = objective, canvas, optimiser
        self._weights, self._repeat = weights, repeat
        self._guide, self._is_first = Guide(objective, with_tv), True

    def step(self, shares: Sequence[float] = ()) -> Numbers:
        """Evaluate the next point, and move on; the numbers of this evaluation, valid until the next step.

        `shares` are those that the host has read since the last step, see `Guide.next_mode`.
        """
        mode = self._guide.next_mode(shares)
        if self._is_first or mode.stops:
            is_first, self._is_first = self._is_first, False
            return self._evaluate(mode, is_first)
        return self._repeat(mode, partial(self._evaluate, mode))

    def _evaluate(self, mode: Mode, is_first: bool = False) -> Numbers:
        canvas, optimiser, weights = self._canvas, self._optimiser, self._weights
        variables = optimiser.trial.detach().requires_grad_()
        terms, correction, share = self._guide.step(canvas.decode(variables), optimiser.best_loss, mode)
        total = terms.total(weights)
        (gradient,) = torch.autograd.grad(total.sum(), variables)
        with torch.no_grad():
            if is_first:
                length = _first_step(canvas, variables, gradient)
                optimiser.first_step.copy_(self._objective.coverage * length)
            optimiser.step(total.detach(), gradient, weights.style * correction)
            converged = optimiser.converged.to(total.dtype)
        found = Row(*terms, total, converged, share)
        return Row(*(numbers.detach() for numbers in found))


def _first_step(canvas: Canvas, variables: Tensor, gradient: Tensor) -> Tensor:
    """The length, `(B,)`, of a step down the gradient that changes pixels by `_FIRST_CHANGE` on average."""
    probe = 1e-3 * F.normalize(gradient)
    change = (canvas.decode(variables - probe) - canvas.decode(variables)).abs().mean((1, 2, 3))
    return 1e-3 * _FIRST_CHANGE / change.clamp_min(1e-30)
