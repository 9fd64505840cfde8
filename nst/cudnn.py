"""Convolutions that add the bias and apply the ReLU as they write their result, on NVIDIA GPUs.

PyTorch runs the convolution, the sum with the bias and the ReLU one after the other. Where features are bf16,
the two latter take as long as the convolution, because they read and write as many numbers.
"""

from typing import Any

import torch
from torch import Tensor

from nst import gpu_pooling

_CONVOLUTION = ([1, 1], [1, 1], [1, 1])  # stride, padding, dilation


def suits(x: Tensor, kernel: Tensor) -> bool:
    """Whether `convolution_relu` computes this convolution faster, and cuDNN has an operation for it."""
    return (
        x.is_cuda
        and x.dtype == torch.bfloat16
        and torch.version.cuda is not None
        and torch.backends.cudnn.enabled
        and torch.cuda.get_device_capability(x.device) >= (8, 0)
        and len(x) * len(kernel) * x[0, 0].numel() < 2**31  # larger ones were not tried
    )


def convolution_relu(x: Tensor, kernel: Tensor, bias: Tensor, pool: bool) -> Tensor:
    """A 3×3 convolution with padding 1, the ReLU and, if asked for, a 2×2 max pooling.

    `(B, C, H, W)`, `(K, C, 3, 3)` and `(K,)` -> `(B, K, H, W)`, or half of the height and width. Kernel and
    bias get no gradient.
    """
    result: Tensor = _ConvolutionReLU.apply(x, kernel, bias, pool)
    return result


class _ConvolutionReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, pool: bool) -> Tensor:
        result = torch.cudnn_convolution_relu(x, kernel, bias, *_CONVOLUTION, 1)
        places = None
        if pool:
            result, places = gpu_pooling.pooled(result)
        ctx.save_for_backward(x, kernel, result, places)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        x, kernel, result, places = ctx.saved_tensors
        # Where the pooled maximum is 0, so is the derivative of the ReLU.
        grad = torch.ops.aten.threshold_backward(grads[0], result, 0)
        if places is not None:
            grad = gpu_pooling.unpooled(grad, places, *x.shape[2:])
        wanted = [True, False, False]  # the gradients of the input, the kernel and the bias
        found, _, _ = torch.ops.aten.convolution_backward(
            grad, x, kernel, None, *_CONVOLUTION, False, [0, 0], 1, wanted
        )
        return found, None, None, None
