import pytest
import torch
from torch import Tensor

from nst.bands import Bands, Scaling

CPU = torch.device("cpu")
HEIGHT, WIDTH = 32, 48
VARIABLES = 3 * HEIGHT * WIDTH


def bands() -> Bands:
    return Bands(HEIGHT, WIDTH, CPU)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def curvatures(of: Bands) -> Tensor:
    """A curvature between 1 and 16 for each band, as `(1, N)` variables have it."""
    number = of.sums(torch.zeros(1, VARIABLES)).shape[1]
    return of.spread(torch.logspace(0, 4, number, base=2)[None])


def test_a_band_has_one_channel_and_one_octave_of_each_axis() -> None:
    found = bands()
    number = found.sums(torch.zeros(1, VARIABLES)).shape[1]
    planes = found.spread(torch.arange(number, dtype=torch.float32)[None]).view(3, HEIGHT, WIDTH)
    values = [set(plane.unique().tolist()) for plane in planes]
    assert not values[0] & values[1]
    assert not values[1] & values[2]
    highest, lower = (
        planes[:, HEIGHT // 2 :, WIDTH // 2 :],
        planes[:, HEIGHT // 4 : HEIGHT // 2, WIDTH // 2 :],
    )
    for part in (highest, lower):
        assert (part == part[:, :1, :1]).all()
    assert (highest[:, 0, 0] != lower[:, 0, 0]).all()


def test_the_sums_of_the_bands_add_up_to_that_of_all() -> None:
    x = random(2, VARIABLES)
    assert torch.allclose(bands().sums(x).sum(1), x.sum(1), atol=1e-3)


def test_a_band_spreads_over_the_frequencies_that_it_sums() -> None:
    found, x = bands(), random(1, VARIABLES)
    values = random(*found.sums(x).shape, seed=1)
    assert (found.spread(values) * x).sum().item() == pytest.approx(
        (values * found.sums(x)).sum().item(), rel=1e-3
    )


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 2053)])
def test_pictures_of_all_sizes_have_as_many_bands(height: int, width: int) -> None:
    ones = torch.ones(1, 3 * height * width)
    found = Bands(height, width, CPU).sums(ones)
    assert found.shape == bands().sums(torch.ones(1, VARIABLES)).shape
    assert found.sum().item() == ones.numel()


def test_factors_are_1_before_the_first_step() -> None:
    assert torch.equal(Scaling(bands(), torch.zeros(2, VARIABLES)).factors(), torch.ones(2, VARIABLES))


def test_factors_are_as_the_inverse_curvatures() -> None:
    scaling, curvature = Scaling(bands(), torch.zeros(1, VARIABLES)), curvatures(bands()).sqrt()
    for seed in range(3):
        s = random(1, VARIABLES, seed=seed)
        scaling.store(s, curvature * s)
    products = scaling.factors() * curvature
    assert torch.allclose(products, products.mean(), rtol=1e-3)


def test_the_weighted_sum_of_the_squared_changes_stays_as_it_is() -> None:
    scaling, s = Scaling(bands(), torch.zeros(1, VARIABLES)), random(1, VARIABLES)
    y = curvatures(bands()).sqrt() * s
    scaling.store(s, y)
    assert (scaling.factors() * y.square()).sum().item() == pytest.approx(y.square().sum().item(), rel=1e-3)


def test_factors_are_bounded() -> None:
    s, curvature = random(1, VARIABLES), curvatures(bands()) ** 4
    stiff, soft = (Scaling(bands(), torch.zeros(1, VARIABLES)) for _ in range(2))
    stiff.store(s, curvature * s)  # most of the change is where the curvature is high, so factors are above 1
    soft.store(s / curvature**2, s / curvature)
    assert stiff.factors().max().item() == 8
    assert soft.factors().min().item() == 1 / 8


def test_a_step_that_is_not_stored_changes_no_factor() -> None:
    scaling, s = Scaling(bands(), torch.zeros(1, VARIABLES)), random(1, VARIABLES)
    scaling.store(s, curvatures(bands()) * s)
    before = scaling.factors()
    scaling.store(torch.zeros_like(s), torch.zeros_like(s))
    assert torch.allclose(scaling.factors(), before)


def test_later_steps_count_more() -> None:
    scaling, s, curvature = (
        Scaling(bands(), torch.zeros(1, VARIABLES)),
        random(1, VARIABLES),
        curvatures(bands()),
    )
    scaling.store(s, curvature * s)
    before = scaling.factors()
    for _ in range(30):
        scaling.store(s, s)
    assert (before - 1).abs().mean() > 0.5
    assert (scaling.factors() - 1).abs().mean() < 0.3


def test_each_search_has_factors_of_its_own() -> None:
    curvature = curvatures(bands())
    both, alone = Scaling(bands(), torch.zeros(2, VARIABLES)), Scaling(bands(), torch.zeros(1, VARIABLES))
    s = random(1, VARIABLES)
    both.store(torch.cat([s, s]), torch.cat([curvature * s, s / curvature]))
    alone.store(s, s / curvature)
    assert torch.allclose(both.factors()[1:], alone.factors())
