import math

import pytest
import torch

from nst.canvas import Canvas

CPU = torch.device("cpu")


def test_decoding_inverts_encoding() -> None:
    image = 0.1 + 0.8 * torch.rand(2, 3, 20, 33)
    canvas = Canvas(20, 33, CPU)
    assert torch.allclose(canvas.decode(canvas.encode(image)), image, atol=1e-5)


def test_all_variables_decode_to_pixels_in_0_to_1() -> None:
    picture = Canvas(16, 24, CPU).decode(100 * torch.randn(1, 3 * 16 * 24))
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_the_gradient_of_black_and_white_pixels_is_not_zero() -> None:
    canvas = Canvas(16, 16, CPU)
    image = torch.zeros(1, 3, 16, 16)
    image[..., 8:] = 1
    variables = canvas.encode(image).requires_grad_()
    (gradient,) = torch.autograd.grad((canvas.decode(variables) * torch.randn(16, 16)).sum(), variables)
    assert gradient.norm() > 0.01
    assert (canvas.decode(variables) - image).abs().max() < 0.06


def test_noise_in_the_variables_has_a_falling_power_spectrum() -> None:
    """White noise in the variables gives angles with the power spectrum 1/f^0.75."""
    canvas = Canvas(64, 64, CPU)
    noise = torch.randn(64, 3 * 64 * 64, generator=torch.Generator().manual_seed(0)) * 1e-3
    moved = torch.arccos(1 - 2 * canvas.decode(noise + canvas.encode(torch.full((1, 3, 64, 64), 0.5))))
    rows = torch.arange(64)[:, None] + 0.5
    waves = [torch.cos(math.pi * f * rows / 64) for f in (4, 16)]
    slow, fast = (((moved - math.pi / 2) * wave).mean((2, 3)).var().item() for wave in waves)
    assert slow / fast == pytest.approx(4**0.75, rel=0.35)


def test_lightness_is_apart_from_colour() -> None:
    """The variables are three channels: lightness, red against green, yellow against blue."""
    canvas = Canvas(16, 24, CPU)
    grey = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(0)).expand(-1, 3, -1, -1)
    lightness, *opponents = canvas.encode(grey).view(3, -1)
    assert lightness.abs().max() > 1
    for each in opponents:
        assert each.abs().max() < 1e-4


def test_opposite_borders_are_not_connected() -> None:
    """A gradient at the left border must not change the right one, as it does with a periodic transform."""
    canvas = Canvas(32, 32, CPU)
    middle = canvas.encode(torch.full((1, 3, 32, 32), 0.5)).requires_grad_()
    (gradient,) = torch.autograd.grad(canvas.decode(middle)[..., 0].sum(), middle)
    with torch.no_grad():
        change = (canvas.decode(middle + 0.01 * gradient) - 0.5)[0, 0, 16]
    assert change[31] < 0.5 * change[4]


@pytest.mark.parametrize(("height", "width"), [(17, 2049), (16, 2050), (2053, 20)])
def test_a_large_canvas_is_that_of_a_dense_transform(
    height: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, towards = (0.1 + 0.8 * torch.rand(1, 3, height, width) for _ in range(2))
    fast = Canvas(height, width, CPU)
    monkeypatch.setattr("nst.cosine.LONGEST_DENSE", 10_000)
    dense = Canvas(height, width, CPU)
    variables = dense.encode(image)
    assert torch.allclose(fast.encode(image), variables, atol=1e-4)
    assert torch.allclose(fast.decode(variables), image, atol=1e-5)
    variables.requires_grad_()
    one, other = (
        torch.autograd.grad((canvas.decode(variables) * towards).sum(), variables)[0]
        for canvas in (fast, dense)
    )
    assert (one - other).norm() < 1e-5 * other.norm()
