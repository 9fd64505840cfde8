"""Limited-memory BFGS for a batch of independent problems, without a line search.

The direction is that of Nocedal (1980), in the compact form of Byrd, Nocedal and Schnabel (1994), theorem
2.2.

Departure from Gatys et al.: a step is not searched for along the direction. The whole step is tried; it is
accepted unless it raises the loss by more than a tenth, and otherwise shortened to a quarter. So each step
costs one evaluation. The best point of all is the result.

Departure from Gatys et al.: the initial inverse Hessian has a scale for each band of frequencies, see
`nst.bands`.

Departure from Gatys et al.: the usual scaling of the initial inverse Hessian, γ = s·y / y·y, is doubled,
because it is the lowest of the common estimates. This takes a tenth fewer evaluations. Without a line search
a step also needs an upper bound: five times the length of the first one.
"""

import torch
from torch import Tensor

from nst.bands import Bands, Scaling
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
    never waits for it between two steps. All state is in tensors that keep their place in memory, so a CUDA
    graph can repeat a step.

    `trial`, `(B, N)`, is the point to evaluate next. `best`, `(B, N)`, and `best_loss`, `(B,)`, are the best
    point so far and its loss. `converged`, `(B,)`, is true where 20 steps lowered the best loss by less than
    the tolerance; the best point is then final.
    """

    def __init__(
        self,
        start: Tensor,
        tolerance: Tensor | float = 0.0,
        history: int = 20,
        bands: Bands | None = None,
    ) -> None:
        """`start`, `(B, N)`, becomes `trial`. Write the lengths of the first steps into `first_step`, `(B,)`,
        before the first call of `step`.

        `tolerance`, `(B,)` or one number for all, is the share of the best loss. `history` is how many steps
        are stored, with 2·B·N numbers each. `bands` says which variables share a scale; without it, for
        functions whose variables are no frequencies, all share one.
        """
        b, n = start.shape
        self.trial, self._point, self.best = start, start.clone(), start.clone()
        self.first_step, self.best_loss = start.new_ones(b), start.new_full((b,), torch.inf)
        self.converged = torch.zeros(b, dtype=torch.bool, device=start.device)
        self._tolerance, self._earlier_best = tolerance, self.best_loss.clone()
        self._loss, self._grad = self.best_loss.clone(), torch.zeros_like(start)
        self._direction, self._length = torch.zeros_like(start), start.new_ones(b)
        self._s, self._y = start.new_zeros(b, history, n), start.new_zeros(b, history, n)
        self._sy = start.new_zeros(b, history, history)
        self._gamma = start.new_zeros(b)
        self._scaling = Scaling(bands, b, start.device) if bands else None
        self._count = torch.zeros(1, dtype=torch.int64, device=start.device)
        self._slots = torch.arange(history, device=start.device)

    def step(self, loss: Tensor, grad: Tensor, correction: Tensor | None = None) -> None:
        """Take `(B,)` losses and `(B, N)` gradients at `trial`, and move it to the next point.

        `correction`, `(B,)`, says how much too low the losses of the steps before were. It is added to them
        where it is finite and positive, so that the new loss is compared with corrected ones.
        """
        if correction is not None:
            self._raise_earlier_losses(correction)
        finite = loss.isfinite() & grad.isfinite().all(1)
        self._keep_best(finite, loss)
        accepted = finite & ((loss <= _MOST_RISE * self._loss) | self._loss.isinf())
        self._store(accepted, grad)
        _replace(self._point, self.trial, accepted)
        _replace(self._grad, grad, accepted)
        _replace(self._loss, loss, accepted)
        self._length.mul_(_SHORTEN).masked_fill_(accepted, 1.0)
        _replace(self._direction, self._bounded_direction(), accepted)
        torch.addcmul(self._point, self._length[:, None], self._direction, out=self.trial)
        self._count += 1

    def _raise_earlier_losses(self, by: Tensor) -> None:
        by = by.nan_to_num(0, 0, 0).clamp_min(0)  # not finite where the loss at the trial point is not
        for earlier in (self._loss, self.best_loss, self._earlier_best):
            earlier += by

    def _keep_best(self, finite: Tensor, loss: Tensor) -> None:
        better = finite & (loss < self.best_loss) & ~self.converged
        _replace(self.best, self.trial, better)
        _replace(self.best_loss, loss, better)
        due = (self._count % _WINDOW == 0) & (self._count > 0)
        decrease = self._earlier_best - self.best_loss
        self.converged |= due & (decrease < self._tolerance * self._earlier_best)
        _replace(self._earlier_best, self.best_loss, due)

    def _store(self, accepted: Tensor, grad: Tensor) -> None:
        # A rejected step, or one with too little curvature, is stored as zeros, which the solves below
        # ignore. The first point has no step.
        s, y = self.trial - self._point, grad - self._grad
        sy, yy = (s * y).sum(1), (y * y).sum(1)
        good = accepted & (sy > _LEAST_COSINE * s.norm(dim=1) * yy.sqrt())
        for each in (s, y):
            each.masked_fill_(~good[:, None], 0.0)
        if self._scaling:
            self._scaling.store(s, y)
        slot = (self._count - 1) % len(self._slots)
        self._s.index_copy_(1, slot, s[:, None])
        self._y.index_copy_(1, slot, y[:, None])
        # The column of this step. Its row, products with earlier y, is below the diagonal, and never read.
        self._sy.index_copy_(2, slot, matvec(self._s, y)[:, :, None])
        _replace(self._gamma, _SCALING * sy / yy, good)

    def _bounded_direction(self) -> Tensor:
        direction: Tensor = self._newton_direction()
        bound: Tensor = _LONGEST * self.first_step / direction.norm(dim=1).clamp_min(1e-30)
        return direction.mul_(bound.clamp_max(1.0)[:, None])

    def _newton_direction(self) -> Tensor:
        norm = self._grad.norm(dim=1)
        first = torch.where(norm > 0, self.first_step / norm, 0.0)
        gamma = torch.where(self._gamma > 0, self._gamma, first)[:, None]
        history = len(self._slots)
        # Slots from the oldest step to the newest one, and the place of each slot in this order.
        by_age, by_slot = (self._slots + self._count) % history, (self._slots - self._count) % history
        s, y = self._s, self._y
        sy = self._sy.index_select(1, by_age).index_select(2, by_age)
        diagonal = sy.diagonal(dim1=1, dim2=2)
        r = sy.triu() + torch.diag_embed((diagonal == 0).to(sy.dtype))
        alpha = _solve(r, matvec(s, self._grad).index_select(1, by_age), upper=True)
        q = (self._grad - _combination(y, alpha.index_select(1, by_slot))).mul_(gamma)
        if self._scaling:
            q.mul_(self._scaling.factors())
        c = _solve(r.mT, diagonal * alpha - matvec(y, q).index_select(1, by_age), upper=False)
        return q.add_(_combination(s, c.index_select(1, by_slot))).neg_()


def _replace(old: Tensor, new: Tensor, where: Tensor) -> None:
    """Write `(B,)` or `(B, N)` new numbers over the old ones of the problems in `where`, `(B,)` or `(1,)`."""
    torch.where(where if old.dim() == 1 else where[:, None], new, old, out=old)


def _combination(rows: Tensor, factors: Tensor) -> Tensor:
    return torch.einsum("bmn,bm->bn", rows, factors)


def _solve(matrix: Tensor, right: Tensor, upper: bool) -> Tensor:
    solution: Tensor = torch.linalg.solve_triangular(matrix, right[:, :, None], upper=upper)
    return solution[:, :, 0]
