import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nst import onednn

pytestmark = pytest.mark.skipif(
    not onednn.suits(torch.empty(0, dtype=torch.bfloat16)), reason="this PyTorch has no such convolution"
)


def random(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape))).bfloat16()


def plain(x: Tensor, kernel: Tensor, bias: Tensor, pool: bool) -> Tensor:
    """The same in PyTorch's bf16, because rounding decides which of two maxima gets the gradient."""
    found = F.conv2d(x, kernel, bias, padding=1)
    return F.relu(F.max_pool2d(found, 2) if pool else found)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("channels", [(3, 64), (64, 32)])
def test_features_and_gradient_are_those_of_the_plain_convolution(
    pool: bool, channels: tuple[int, int]
) -> None:
    inputs, outputs = channels
    kernel, bias = random(outputs, inputs, 3, 3) / (3 * inputs**0.5), random(outputs)
    convolution = onednn.ConvolutionReLU(kernel, bias)
    for shape in ((1, inputs, 13, 18), (2, inputs, 8, 5), (1, inputs, 13, 18)):
        x = random(*shape).contiguous(memory_format=torch.channels_last).requires_grad_()
        expected = plain(x, kernel, bias, pool)
        found = convolution(x, pool)
        assert found.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(found, expected)
        grad = random(*found.shape).contiguous(memory_format=torch.channels_last)
        (gradient,) = torch.autograd.grad(found, x, grad)
        (of_plain,) = torch.autograd.grad(expected, x, grad)
        assert (gradient - of_plain).float().norm() < 0.01 * of_plain.float().norm()
