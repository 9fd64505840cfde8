import itertools
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nst.bands import Bands
from nst.lbfgs import LBFGS

Function = Callable[[Tensor], Tensor]


def minimise(
    function: Function, start: Tensor, steps: int, first: float = 0.1, bands: Bands | None = None
) -> LBFGS:
    optimiser = LBFGS(start.clone(), tolerance=0.005, bands=bands)
    optimiser.first_step = start.new_full((len(start),), first)
    for _ in range(steps):
        point = optimiser.trial.detach().requires_grad_()
        loss = function(point)
        (grad,) = torch.autograd.grad(loss.sum(), point)
        optimiser.step(loss.detach(), grad)
    return optimiser


def next_point(optimiser: LBFGS, loss: Tensor, grad: Tensor) -> Tensor:
    """The point after a step."""
    optimiser.step(loss, grad)
    return optimiser.trial.clone()


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(1)


def quadratic(x: Tensor) -> Tensor:
    return (torch.logspace(0, 4, x.shape[1], dtype=x.dtype) * x**2).sum(1)


BANDS = Bands(16, 16, torch.device("cpu"))


def uneven(x: Tensor) -> Tensor:
    """A quadratic function of `(B, 768)` variables whose curvature differs from band to band."""
    curvature = BANDS.spread(torch.logspace(0, 3, BANDS.count)[None]) * torch.linspace(1, 3, 768)
    return (curvature * x**2).sum(1)


def noise(problems: int) -> Tensor:
    return torch.randn(problems, 768, generator=torch.Generator().manual_seed(0))


def test_an_ill_conditioned_quadratic_is_minimised() -> None:
    start = torch.ones(1, 30, dtype=torch.float64)
    assert minimise(quadratic, start, 150).best_loss.item() < 1e-5 * quadratic(start).item()


def test_a_multiple_of_a_function_takes_the_same_steps() -> None:
    start = torch.ones(1, 30, dtype=torch.float64)
    plain = minimise(quadratic, start, 30).best
    for factor in (1e-12, 1e12):
        assert torch.allclose(minimise(lambda x, by=factor: by * quadratic(x), start, 30).best, plain)  # type: ignore[misc]


def test_the_first_step_has_the_length_asked_for() -> None:
    start = torch.ones(2, 5)
    optimiser = LBFGS(start.clone())
    optimiser.first_step = torch.tensor([0.5, 2.0])
    trial = next_point(optimiser, torch.ones(2), torch.full((2, 5), 3.0))
    assert (trial - start).norm(dim=1).tolist() == pytest.approx([0.5, 2.0])


def test_the_direction_equals_that_of_the_two_loop_recursion() -> None:
    """Nocedal's recursion (1980), with twice the usual scaling, after more steps than are stored."""
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(8, 8, generator=generator, dtype=torch.float64)
    hessian = matrix @ matrix.T + torch.eye(8, dtype=torch.float64)
    optimiser = LBFGS(torch.randn(1, 8, generator=generator, dtype=torch.float64), history=4)
    optimiser.first_step = torch.tensor([1.0], dtype=torch.float64)
    point, points, grads = optimiser.trial.clone(), [], []
    for step in range(7):
        grad = point @ hessian
        points.append(point)
        grads.append(grad)
        always_lower = torch.tensor([-float(step)], dtype=torch.float64)
        point = next_point(optimiser, always_lower, grad)
    s = [b - a for a, b in itertools.pairwise(points)][-4:]
    y = [b - a for a, b in itertools.pairwise(grads)][-4:]
    q, alphas = grads[-1].clone(), []
    for si, yi in zip(reversed(s), reversed(y), strict=True):
        alphas.append((si * q).sum() / (si * yi).sum())
        q = q - alphas[-1] * yi
    q = 2 * q * (s[-1] * y[-1]).sum() / (y[-1] ** 2).sum()
    for si, yi, alpha in zip(s, y, reversed(alphas), strict=True):
        q = q + si * (alpha - (yi * q).sum() / (si * yi).sum())
    assert torch.allclose(point, points[-1] - q)


def test_each_problem_is_minimised_independently() -> None:
    starts = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 0.5]], dtype=torch.float64)
    together = minimise(rosenbrock, starts, 40)
    for i in range(3):
        alone = minimise(rosenbrock, starts[i : i + 1], 40)
        assert torch.allclose(alone.best, together.best[i : i + 1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_step_to_a_loss_that_is_not_finite_is_rejected_and_shortened(bad: float) -> None:
    def walled(x: Tensor) -> Tensor:
        return quadratic(x) + torch.where(x.abs().amax(1) > 2, bad, 0.0)

    optimiser = minimise(walled, torch.ones(1, 4, dtype=torch.float64), 60, first=100.0)
    assert optimiser.best.isfinite().all()
    assert optimiser.best_loss.item() < 1e-3


def test_a_problem_that_is_not_finite_does_not_change_the_others() -> None:
    def half_broken(x: Tensor) -> Tensor:
        return quadratic(x) * torch.tensor([torch.nan, 1.0])

    optimiser = minimise(half_broken, torch.ones(2, 4), 40)
    assert optimiser.best_loss[1].item() < 1e-4
    assert torch.equal(optimiser.best[0], torch.ones(4))


def test_a_step_that_raises_the_loss_by_more_than_a_tenth_is_rejected() -> None:
    start = torch.full((1, 4), 0.01)
    optimiser = LBFGS(start.clone())
    optimiser.first_step = torch.tensor([1000.0])
    trial = next_point(optimiser, torch.tensor([1.0]), torch.ones(1, 4))
    shorter = next_point(optimiser, torch.tensor([1e6]), -torch.ones(1, 4))
    assert (shorter - start).norm().item() == pytest.approx(0.25 * (trial - start).norm().item())


def test_the_best_point_is_kept_when_the_last_one_is_worse() -> None:
    optimiser = LBFGS(torch.zeros(1, 2))
    points = [torch.zeros(1, 2)]
    for loss in (5.0, 3.0, 3.2, 3.1):
        points.append(next_point(optimiser, torch.tensor([loss]), torch.ones(1, 2)))
    assert optimiser.best_loss.item() == 3.0
    assert torch.equal(optimiser.best, points[1])


def test_each_problem_converges_on_its_own() -> None:
    flat = torch.tensor([0.0, 1.0])
    optimiser = minimise(lambda x: flat * quadratic(x) + 1 - flat, torch.ones(2, 30), 41, first=0.01)
    assert optimiser.converged.tolist() == [True, False]


def test_a_step_reads_no_number_back_to_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("a step reads a number from the device")

    start = torch.ones(2, 3 * 16 * 16)
    optimiser = minimise(quadratic, start, 2, bands=BANDS)
    loss, grad = torch.ones(2), torch.ones_like(start)
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(Tensor, name, refuse)
    optimiser.step(loss, grad)


def test_bands_of_different_curvature_take_fewer_steps_with_a_scale_for_each() -> None:
    with_bands, without = (minimise(uneven, noise(2), 40, first=5.0, bands=each) for each in (BANDS, None))
    assert (with_bands.best_loss < 0.1 * without.best_loss).all()


def test_with_bands_a_multiple_of_a_function_takes_the_same_steps() -> None:
    plain = minimise(uneven, noise(1), 30, first=5.0, bands=BANDS).best
    for factor in (2.0**-40, 2.0**40):
        found = minimise(lambda x, by=factor: by * uneven(x), noise(1), 30, first=5.0, bands=BANDS)  # type: ignore[misc]
        assert torch.allclose(found.best, plain, atol=1e-4)


def test_with_bands_each_problem_is_minimised_independently() -> None:
    """The second one is not finite after its start, so that all of its steps are rejected."""

    def broken(x: Tensor) -> Tensor:
        at_start = torch.equal(x[1], noise(3)[1])
        return torch.tensor([1.0, 1.0 if at_start else torch.nan, 4.0]) * uneven(x)

    together = minimise(broken, noise(3), 40, first=5.0, bands=BANDS)
    assert torch.equal(together.best[1], noise(3)[1])
    for i in (0, 2):
        alone = minimise(uneven, noise(3)[i : i + 1], 40, first=5.0, bands=BANDS)
        assert torch.allclose(together.best[i], alone.best[0], atol=1e-3)


def test_steps_are_bounded_where_the_curvature_is_negative() -> None:
    start = torch.full((1, 4), 0.1)
    optimiser = LBFGS(start.clone())
    optimiser.first_step = torch.tensor([0.1])
    before = next_point(optimiser, torch.tensor([1.0]), torch.full((1, 4), -1.0))
    nearly_no_curvature = torch.full((1, 4), -1.0 + 1e-7)
    after = next_point(optimiser, torch.tensor([0.9]), nearly_no_curvature)
    assert (after - before).norm().item() == pytest.approx(0.5)


def test_the_search_continues_after_a_correction_of_earlier_losses() -> None:
    """From the sixth step on, the loss of the second problem is higher by a million, and corrected for it."""
    start = torch.ones(2, 10, dtype=torch.float64)
    optimiser = LBFGS(start.clone())
    for step in range(60):
        point = optimiser.trial.detach().requires_grad_()
        loss = quadratic(point)
        (grad,) = torch.autograd.grad(loss.sum(), point)
        added, correction = (
            torch.tensor([0.0, 1e6 * condition], dtype=torch.float64) for condition in (step >= 5, step == 5)
        )
        optimiser.step(loss.detach() + added, grad, correction)
    assert optimiser.best_loss[1].item() == pytest.approx(1e6 + quadratic(optimiser.best)[1].item())
    assert (quadratic(optimiser.best) < 1e-2 * quadratic(start)).all()


@pytest.mark.parametrize("by", [math.nan, math.inf, -2.0])
def test_a_correction_that_is_not_finite_and_positive_changes_nothing(by: float) -> None:
    optimiser = LBFGS(torch.ones(1, 2))
    optimiser.step(torch.tensor([3.0]), torch.ones(1, 2))
    optimiser.step(torch.tensor([5.0]), torch.ones(1, 2), torch.tensor([by]))
    assert optimiser.best_loss.item() == 3
