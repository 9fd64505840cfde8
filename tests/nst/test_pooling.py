import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nst.pooling import max_pool, pooled


def spots(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Numbers from 0 to 4, many of which are equal, with channels last in memory."""
    found = torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(0))
    return found.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(2, 8, 11, 14), (1, 64, 40, 33), (1, 3, 2, 2), (3, 1, 2, 9)])
def test_maxima_and_gradient_are_those_of_pytorch(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = spots(*shape, dtype=dtype)
    found, expected = max_pool(x), F.max_pool2d(x, 2)
    assert torch.equal(found, expected)
    weights = torch.linspace(-1, 1, found.numel(), dtype=dtype).view(found.shape)
    (one,), (other,) = (torch.autograd.grad((each * weights).sum(), x) for each in (found, expected))
    assert torch.equal(one, other)


def test_the_place_of_a_maximum_fits_into_two_bytes_at_the_largest_width() -> None:
    x = torch.zeros(1, 1, 2, 16_383)
    x[0, 0, 1, 16_381] = 1
    _, distances = pooled(x)
    assert distances.dtype == torch.int16
    assert distances[0, 0, 0, -1].item() == 16_383 + 1
