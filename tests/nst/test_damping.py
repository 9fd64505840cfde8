import pytest
import torch
from torch import Tensor

from nst.damping import damped_direction, damped_gram_error
from nst.objective import gram_error


@pytest.fixture
def grams() -> tuple[Tensor, Tensor]:
    """Gram matrices of a picture and of a style, two pairs of each, `(2, 6, 6)`."""
    generator = torch.Generator().manual_seed(0)
    found, target = (torch.rand(2, 6, 40, generator=generator, dtype=torch.float64) for _ in range(2))
    return (found @ found.mT).requires_grad_(), target @ target.mT


def test_the_direction_is_the_scaled_strongest_eigenvector(grams: tuple[Tensor, Tensor]) -> None:
    _, target = grams
    values, vectors = torch.linalg.eigh(target)
    largest, d = values[:, -1], 0.4 * torch.linalg.matrix_norm(target)
    expected = (largest / (largest + d)).sqrt()[:, None] * vectors[:, :, -1].abs()
    assert torch.allclose(damped_direction(target), expected)


def test_the_damped_error_has_the_value_of_the_plain_error(grams: tuple[Tensor, Tensor]) -> None:
    found, target = grams
    error = damped_gram_error(found, target, damped_direction(target), torch.tensor([True, False]))
    assert torch.equal(error, gram_error(found, target))


def test_the_gradient_of_damped_pairs_alone_is_projected(grams: tuple[Tensor, Tensor]) -> None:
    found, target = grams
    u = damped_direction(target)
    error = damped_gram_error(found, target, u, torch.tensor([True, False]))
    (gradient,) = torch.autograd.grad(error.sum(), found)
    difference = (found - target).detach()
    projection = torch.eye(6) - u[0, :, None] * u[0]
    assert torch.allclose(gradient[0], 2 / 36 * projection @ difference[0] @ projection)
    assert torch.allclose(gradient[1], 2 / 36 * difference[1])


def test_the_gram_matrix_of_a_black_style_damps_nothing() -> None:
    black = torch.zeros(1, 6, 6)
    assert not damped_direction(black).any()
