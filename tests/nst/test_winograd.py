import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nst.winograd import WinogradReLU

KERNEL = torch.randn(7, 5, 3, 3, generator=torch.Generator().manual_seed(0))
BIAS = torch.linspace(-1, 1, 7)


@pytest.fixture
def layer() -> WinogradReLU:
    return WinogradReLU(KERNEL, BIAS)


def direct(x: Tensor) -> Tensor:
    return F.relu(F.conv2d(x.double(), KERNEL.double(), BIAS.double(), padding=1))


@pytest.mark.parametrize("size", [(8, 12), (7, 9), (1, 1), (2, 31), (33, 6)])
def test_the_result_equals_a_direct_convolution_with_relu(layer: WinogradReLU, size: tuple[int, int]) -> None:
    x = torch.rand(2, 5, *size)
    assert torch.allclose(layer(x).double(), direct(x), atol=1e-4)


def test_the_size_of_the_blocks_does_not_change_the_result() -> None:
    x = torch.rand(1, 5, 21, 13, generator=torch.Generator().manual_seed(1)).requires_grad_()
    one_row, whole = (WinogradReLU(KERNEL, BIAS, block=block)(x) for block in (1, 2**20))
    assert torch.allclose(one_row, whole, atol=1e-5)
    found, expected = (torch.autograd.grad(result.sum(), x)[0] for result in (one_row, whole))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_the_gradient_equals_that_of_a_direct_convolution(
    layer: WinogradReLU, memory_format: torch.memory_format
) -> None:
    x = torch.rand(2, 5, 11, 6, requires_grad=True)
    weight = torch.randn(2, 7, 11, 6).contiguous(memory_format=memory_format)
    (found,) = torch.autograd.grad(layer(x), x, weight)
    (expected,) = torch.autograd.grad(direct(x), x, weight.double())
    assert torch.allclose(found, expected, atol=1e-3)


def test_a_max_pooling_can_follow(layer: WinogradReLU) -> None:
    x = torch.rand(2, 5, 11, 6, requires_grad=True)
    found, expected = layer(x, pool=True), F.max_pool2d(layer(x), 2)
    assert torch.equal(found, expected)
    weight = torch.randn(found.shape)
    (one,), (other,) = (torch.autograd.grad(each, x, weight) for each in (found, expected))
    assert torch.equal(one, other)


def test_a_gradient_can_be_computed_after_a_call_without_gradients(layer: WinogradReLU) -> None:
    x = torch.rand(1, 5, 8, 8, requires_grad=True)
    with torch.no_grad():
        layer(x)
    assert torch.autograd.grad(layer(x).sum(), x)[0].isfinite().all()
