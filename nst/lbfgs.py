"""Limited-memory BFGS for a batch of independent problems, without a line search.

The direction is that of Nocedal (1980), in the compact form of Byrd, Nocedal and Schnabel (1994), theorem
2.2.

Departure from Gatys et al.: a step is not searched for along the direction. The whole step is tried; it is
accepted unless it raises the loss by more than a tenth, and otherwise shortened to a quarter. So each step
costs one evaluation. The best point of all is the result.

Departure from Gatys et al.: the usual scaling of the initial inverse Hessian, γ = s·y / y·y, is doubled,
because it is the lowest of the common estimates. This takes a tenth fewer evaluations. Without a line search
a step also needs an upper bound: five times the length of the first one.
"""

import torch
from torch import Tensor

from nst.batched import matvec

_SHORTEN = 0.25  # the factor on the length of a rejected step
_MOST_RISE = 1.1  # a step is accepted if it multiplies the loss by at most this much
_LEAST_COSINE = 1e-6  # between s and y; a pair with a smaller one is not used, because its curvature is noise
_SCALING = 2.0  # the factor on γ
_LONGEST = 5.0  # the bound on a step, in lengths of the first step; needed where the curvature is negative
_WINDOW = 20  # steps after which the decrease of the loss is compared with the tolerance


class LBFGS:
    """Minimises B functions of N variables at once.

    Each problem has its own history, step length and acceptance. No number is read back to the host, so a GPU
    never waits for it between two steps.

    `best`, `(B, N)`, and `best_loss`, `(B,)`, are the best point so far and its loss. `converged`, `(B,)`, is
    true where 20 steps lowered the best loss by less than the tolerance; the best point is then final.
    """

    def __init__(self, start: Tensor, tolerance: Tensor | float = 0.0, history: int = 20) -> None:
        """`start` is `(B, N)`. Set `first_step`, `(B,)` lengths of the first steps, before calling `step`.

        `tolerance`, `(B,)` or one number for all, is the share of the best loss. `history` is how many steps
        are stored, with 2·B·N numbers each.
        """
        b, n = start.shape
        self.first_step = start.new_ones(b)
        self.best, self.best_loss = start, start.new_full((b,), torch.inf)
        self.converged = torch.zeros(b, dtype=torch.bool, device=start.device)
        self._earlier_best, self._tolerance = self.best_loss, tolerance
        self._point, self._trial = start, start
        self._loss, self._grad = self.best_loss, torch.zeros_like(start)
        self._direction, self._length = self._grad, start.new_ones(b)
        self._s, self._y = start.new_zeros(b, history, n), start.new_zeros(b, history, n)
        self._sy = start.new_zeros(b, history, history)
        self._gamma = start.new_zeros(b)
        self._count, self._history = 0, history

    def step(self, loss: Tensor, grad: Tensor, correction: Tensor | None = None) -> Tensor:
        """Take `(B,)` losses and `(B, N)` gradients at the last trial point; return the next one, `(B, N)`.

        `correction`, `(B,)`, says how much too low the losses of the steps before were. It is added to them
        where it is finite and positive, so that the new loss is compared with corrected ones.
        """
        if correction is not None:
            self._raise_earlier_losses(correction)
        finite = loss.isfinite() & grad.isfinite().all(1)
        self._keep_best(finite, loss)
        accepted = finite & ((loss <= _MOST_RISE * self._loss) | self._loss.isinf())
        grad = torch.where(accepted[:, None], grad, self._grad)
        if self._count:
            self._store(accepted, grad)
        self._point = torch.where(accepted[:, None], self._trial, self._point)
        self._loss = torch.where(accepted, loss, self._loss)
        self._grad = grad
        self._count += 1
        self._length = torch.where(accepted, 1.0, _SHORTEN * self._length)
        self._direction = torch.where(accepted[:, None], self._bounded_direction(), self._direction)
        self._trial = self._point + self._length[:, None] * self._direction
        return self._trial

    def _raise_earlier_losses(self, by: Tensor) -> None:
        by = by.nan_to_num(0, 0, 0).clamp_min(0)  # not finite where the loss at the trial point is not
        self._loss, self.best_loss = self._loss + by, self.best_loss + by
        self._earlier_best = self._earlier_best + by

    def _keep_best(self, finite: Tensor, loss: Tensor) -> None:
        better = finite & (loss < self.best_loss) & ~self.converged
        self.best = torch.where(better[:, None], self._trial, self.best)
        self.best_loss = torch.where(better, loss, self.best_loss)
        if self._count % _WINDOW == 0 and self._count:
            decrease = self._earlier_best - self.best_loss
            self.converged = self.converged | (decrease < self._tolerance * self._earlier_best)
            self._earlier_best = self.best_loss

    def _store(self, accepted: Tensor, grad: Tensor) -> None:
        # A rejected step, or one with too little curvature, is stored as zeros, which the solves below
        # ignore.
        s = torch.where(accepted[:, None], self._trial - self._point, 0.0)
        y = grad - self._grad
        sy, yy = (s * y).sum(1), (y * y).sum(1)
        good = sy > _LEAST_COSINE * s.norm(dim=1) * yy.sqrt()
        s, y = torch.where(good[:, None], s, 0.0), torch.where(good[:, None], y, 0.0)
        slot = (self._count - 1) % self._history
        self._s[:, slot], self._y[:, slot] = s, y
        self._sy[:, slot] = matvec(self._y, s)
        self._sy[:, :, slot] = matvec(self._s, y)
        self._gamma = torch.where(good, _SCALING * sy / yy, self._gamma)

    def _bounded_direction(self) -> Tensor:
        direction: Tensor = self._newton_direction()
        bound: Tensor = _LONGEST * self.first_step / direction.norm(dim=1).clamp_min(1e-30)
        return direction * bound.clamp_max(1.0)[:, None]

    def _newton_direction(self) -> Tensor:
        used = min(self._count - 1, self._history)
        norm = self._grad.norm(dim=1)
        first = torch.where(norm > 0, self.first_step / norm, 0.0)
        gamma = torch.where(self._gamma > 0, self._gamma, first)[:, None]
        if not used:
            return -gamma * self._grad
        oldest = (self._count - 1) % self._history if self._count - 1 > self._history else 0

        def by_age(x: Tensor) -> Tensor:
            # Indexing by a list would copy the list to the device at every step; rolling does not.
            return x.roll(-oldest, 1)

        def by_slot(x: Tensor) -> Tensor:
            return x.roll(oldest, 1)

        s, y = self._s[:, :used], self._y[:, :used]
        sy = self._sy[:, :used, :used].roll((-oldest, -oldest), (1, 2))
        diagonal = sy.diagonal(dim1=1, dim2=2)
        r = sy.triu() + torch.diag_embed((diagonal == 0).to(sy.dtype))
        alpha = _solve(r, by_age(matvec(s, self._grad)), upper=True)
        q = gamma * (self._grad - _combination(y, by_slot(alpha)))
        c = _solve(r.mT, diagonal * alpha - by_age(matvec(y, q)), upper=False)
        return -(q + _combination(s, by_slot(c)))


def _combination(rows: Tensor, factors: Tensor) -> Tensor:
    return torch.einsum("bmn,bm->bn", rows, factors)


def _solve(matrix: Tensor, right: Tensor, upper: bool) -> Tensor:
    solution: Tensor = torch.linalg.solve_triangular(matrix, right[:, :, None], upper=upper)
    return solution[:, :, 0]
