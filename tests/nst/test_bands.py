from itertools import product

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
    return of.spread(torch.logspace(0, 4, of.count, base=2)[None])


def scaling(searches: int = 1) -> Scaling:
    return Scaling(bands(), searches, CPU)


def test_a_band_has_one_channel_and_one_octave_of_each_axis() -> None:
    found = bands()
    planes = found.spread(torch.arange(found.count, dtype=torch.float32)[None]).view(3, HEIGHT, WIDTH)
    octaves = [
        [(round(length / 2**i / 2), round(length / 2**i)) for i in range(4)] + [(0, length // 16)]
        for length in (HEIGHT, WIDTH)
    ]
    cells = [plane[slice(*rows), slice(*columns)] for plane in planes for rows, columns in product(*octaves)]
    assert [cell.unique().tolist() for cell in cells] == [[number] for number in range(75)]


def test_the_sums_of_the_bands_add_up_to_that_of_all() -> None:
    x = random(2, VARIABLES)
    assert torch.allclose(bands().sums(x).sum(1), x.sum(1), atol=1e-3)


def test_a_band_spreads_over_the_frequencies_that_it_sums() -> None:
    found, x = bands(), random(1, VARIABLES)
    values = random(1, found.count, seed=1)
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
    assert torch.equal(scaling(2).factors(), torch.ones(2, VARIABLES))


def test_factors_are_proportional_to_the_inverse_curvatures() -> None:
    found, curvature = scaling(), curvatures(bands()).sqrt()
    for seed in range(3):
        s = random(1, VARIABLES, seed=seed)
        found.store(s, curvature * s)
    products = found.factors() * curvature
    assert torch.allclose(products, products.mean(), rtol=1e-3)


def test_the_weighted_sum_of_the_squared_changes_stays_as_it_is() -> None:
    found, s = scaling(), random(1, VARIABLES)
    y = curvatures(bands()).sqrt() * s
    found.store(s, y)
    assert (found.factors() * y.square()).sum().item() == pytest.approx(y.square().sum().item(), rel=1e-3)


def test_factors_are_bounded() -> None:
    s, curvature = random(1, VARIABLES), curvatures(bands()) ** 4
    stiff, soft = (scaling() for _ in range(2))
    stiff.store(s, curvature * s)  # most of the change is where the curvature is high, so factors are above 1
    soft.store(s / curvature**2, s / curvature)
    assert stiff.factors().max().item() == 8
    assert soft.factors().min().item() == 1 / 8


def test_a_band_without_curvature_leaves_the_factors_of_the_others() -> None:
    """The square of its curvature, and that of its reciprocal, are outside of the range of fp32."""
    flat, values = bands(), torch.ones(1, 75)
    values[0, 10] = 1e-22
    found, s = scaling(), random(1, VARIABLES)
    found.store(s, flat.spread(values) * s)
    numbers = flat.sums(found.factors()) / flat.sums(torch.ones(1, VARIABLES))
    assert numbers[0, 10].item() == pytest.approx(8)
    assert torch.allclose(numbers[0, :10], torch.ones(10), rtol=0.01)


def test_a_step_that_is_not_stored_changes_no_factor() -> None:
    found, s = scaling(), random(1, VARIABLES)
    found.store(s, curvatures(bands()) * s)
    before = found.factors()
    found.store(torch.zeros_like(s), torch.zeros_like(s))
    assert torch.allclose(found.factors(), before)


def test_later_steps_count_more() -> None:
    found, s, curvature = scaling(), random(1, VARIABLES), curvatures(bands())
    found.store(s, curvature * s)
    before = found.factors()
    for _ in range(30):
        found.store(s, s)
    assert (before - 1).abs().mean() > 0.5
    assert (found.factors() - 1).abs().mean() < 0.1


def test_each_search_has_factors_of_its_own() -> None:
    curvature = curvatures(bands())
    both, alone = scaling(2), scaling()
    s = random(1, VARIABLES)
    both.store(torch.cat([s, s]), torch.cat([curvature * s, s / curvature]))
    alone.store(s, s / curvature)
    assert torch.allclose(both.factors()[1:], alone.factors())
