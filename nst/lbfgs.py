"""Limited-memory BFGS over a batch of independent problems, without a line search."""

import torch
from torch import Tensor

_SHORTEN = 0.25  # what a refused step is multiplied by
_WILD = 1.1  # a step may raise the loss this far before it is undone
_CURVATURE = 1e-6  # a step whose s and y have a smaller cosine tells nothing about curvature
_BOLDNESS = 2.0  # on s·y / y·y, a low estimate of the inverse Hessian; doubling it saves a tenth of the steps
_LONGEST = 5.0  # times the first step: no step is longer, or where curvature is negative one runs far away

_WINDOW = 20  # steps over which the gain is compared with the tolerance


class LBFGS:
    """Minimises B functions at once; `step` takes values and gradients and says where to look next.

    Each problem has its own history, step length and acceptance, and nothing is ever read back to the
    host, so that on a GPU whole iterations queue up without waiting. The product of the inverse Hessian
    and a gradient is the compact form of Byrd, Nocedal and Schnabel (1994), theorem 2.2.
    """

    def __init__(self, start: Tensor, tolerance: Tensor | float = 0.0, history: int = 20) -> None:
        """`start` is `(B, N)`. Set `first_step`, `(B,)` lengths of the first steps, before stepping.

        `history` is how many steps are remembered, in 2·B·N numbers each.

        A problem has `converged` when 20 steps lowered its best loss by less than the share `tolerance`,
        `(B,)` or one for all.
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

    def step(self, loss: Tensor, grad: Tensor) -> Tensor:
        """Take `(B,)` losses and `(B, N)` gradients at the last trial point; return the next one."""
        finite = loss.isfinite() & grad.isfinite().all(1)
        self._keep_best(finite, loss)
        accepted = finite & ((loss <= _WILD * self._loss) | self._loss.isinf())
        grad = torch.where(accepted[:, None], grad, self._grad)
        if self._count:
            self._remember(accepted, grad)
        self._point = torch.where(accepted[:, None], self._trial, self._point)
        self._loss = torch.where(accepted, loss, self._loss)
        self._grad = grad
        self._count += 1
        self._length = torch.where(accepted, 1.0, _SHORTEN * self._length)
        self._direction = torch.where(accepted[:, None], self._bounded_direction(), self._direction)
        self._trial = self._point + self._length[:, None] * self._direction
        return self._trial

    def lift(self, by: Tensor) -> None:
        """Raise all losses so far, `(B,)`, where they turn out to have been told too low."""
        by = by.nan_to_num(0, 0, 0).clamp_min(0)  # a trial point may be one where nothing is finite
        self._loss, self.best_loss = self._loss + by, self.best_loss + by
        self._earlier_best = self._earlier_best + by

    def _keep_best(self, finite: Tensor, loss: Tensor) -> None:
        better = finite & (loss < self.best_loss) & ~self.converged
        self.best = torch.where(better[:, None], self._trial, self.best)
        self.best_loss = torch.where(better, loss, self.best_loss)
        if self._count % _WINDOW == 0 and self._count:
            gain = self._earlier_best - self.best_loss
            self.converged = self.converged | (gain < self._tolerance * self._earlier_best)
            self._earlier_best = self.best_loss

    def _remember(self, accepted: Tensor, grad: Tensor) -> None:
        # A refused step or one without curvature leaves a zero row, which the solves below ignore.
        s = torch.where(accepted[:, None], self._trial - self._point, 0.0)
        y = grad - self._grad
        sy, yy = (s * y).sum(1), (y * y).sum(1)
        good = sy > _CURVATURE * s.norm(dim=1) * yy.sqrt()
        s, y = torch.where(good[:, None], s, 0.0), torch.where(good[:, None], y, 0.0)
        slot = (self._count - 1) % self._history
        self._s[:, slot], self._y[:, slot] = s, y
        self._sy[:, slot] = _products(self._y, s)
        self._sy[:, :, slot] = _products(self._s, y)
        self._gamma = torch.where(good, _BOLDNESS * sy / yy, self._gamma)

    def _bounded_direction(self) -> Tensor:
        direction: Tensor = self._newton_direction()
        most: Tensor = _LONGEST * self.first_step / direction.norm(dim=1).clamp_min(1e-30)
        return direction * most.clamp_max(1.0)[:, None]

    def _newton_direction(self) -> Tensor:
        used = min(self._count - 1, self._history)
        norm = self._grad.norm(dim=1)
        first = torch.where(norm > 0, self.first_step / norm, 0.0)
        gamma = torch.where(self._gamma > 0, self._gamma, first)[:, None]
        if not used:
            return -gamma * self._grad
        oldest = (self._count - 1) % self._history if self._count - 1 > self._history else 0

        def by_age(x: Tensor) -> Tensor:
            # Rolled, not indexed by a list, which would be copied to the device at every step.
            return x.roll(-oldest, 1)

        def by_slot(x: Tensor) -> Tensor:
            return x.roll(oldest, 1)

        s, y = self._s[:, :used], self._y[:, :used]
        sy = self._sy[:, :used, :used].roll((-oldest, -oldest), (1, 2))
        diagonal = sy.diagonal(dim1=1, dim2=2)
        r = sy.triu() + torch.diag_embed((diagonal == 0).to(sy.dtype))
        alpha = _solve(r, by_age(_products(s, self._grad)), upper=True)
        q = gamma * (self._grad - _combination(y, by_slot(alpha)))
        c = _solve(r.mT, diagonal * alpha - by_age(_products(y, q)), upper=False)
        return -(q + _combination(s, by_slot(c)))


def _products(rows: Tensor, vector: Tensor) -> Tensor:
    return torch.einsum("bmn,bn->bm", rows, vector)


def _combination(rows: Tensor, factors: Tensor) -> Tensor:
    return torch.einsum("bmn,bm->bn", rows, factors)


def _solve(matrix: Tensor, right: Tensor, upper: bool) -> Tensor:
    solution: Tensor = torch.linalg.solve_triangular(matrix, right[:, :, None], upper=upper)
    return solution[:, :, 0]
