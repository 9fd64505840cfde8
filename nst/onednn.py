"""Convolutions in bf16 that add the bias and apply the ReLU as they write their result, on CPUs.

PyTorch brings the kernel into the order that oneDNN needs at each call, and applies the ReLU afterwards. Here
the kernel, which never changes, is brought into this order once for pictures of one size. An evaluation
takes 3 to 7 % less time (Intel Xeon with AMX, 256 and 384 px, see benchmarks/README.md).

Both operations are those of PyTorch's own compiler. They are not documented, so `suits` looks for them, and
without them the usual convolutions are computed.
"""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from nst.pooling import pooled, unpooled

_CONVOLUTION = ([1, 1], [1, 1], [1, 1], 1)  # padding, stride, dilation, groups


def suits(x: Tensor) -> bool:
    """Whether `ConvolutionReLU` can compute this convolution: only in bf16, if the processor supports it."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.bfloat16
        and bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_convolution_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


class ConvolutionReLU:
    """A 3×3 convolution with zero padding, followed by a ReLU; only its input gets a gradient."""

    def __init__(self, kernel: Tensor, bias: Tensor) -> None:
        """`kernel` is `(K, C, 3, 3)` and `bias` `(K,)`, both bf16 on the CPU."""
        self._kernel, self.bias, self.forward_kernel = kernel, bias, _Kernel(kernel)

    @cached_property
    def backward_kernel(self) -> "_Kernel":
        """The kernel whose convolution maps the gradient of the output to that of the input."""
        return _Kernel(self._kernel.transpose(0, 1).flip(2, 3))

    def __call__(self, x: Tensor, pool: bool = False) -> Tensor:
        """`(B, C, H, W)` -> `(B, K, H, W)`, channels last in memory. With `pool`, a max pooling follows."""
        result: Tensor = _ConvolutionReLU.apply(x, self, pool)
        return result


class _Kernel:
    def __init__(self, kernel: Tensor) -> None:
        self._kernel = kernel.contiguous(memory_format=torch.channels_last)
        self._packed: tuple[torch.Size, Tensor] | None = None  # for inputs of this shape

    def convolve(self, x: Tensor, bias: Tensor | None, then: str) -> Tensor:
        """`(B, C, H, W)` -> `(B, K, H, W)`; `then` is "relu" or "none"."""
        packed = self._packed  # another thread may replace it
        if packed is None or packed[0] != x.shape:
            kernel = torch.ops.mkldnn._reorder_convolution_weight(self._kernel, *_CONVOLUTION, x.shape)
            self._packed = packed = x.shape, kernel
        convolution = torch.ops.mkldnn._convolution_pointwise
        result: Tensor = convolution(x, packed[1], bias, *_CONVOLUTION, then, [], "")
        return result


class _ConvolutionReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, convolution: ConvolutionReLU, pool: bool) -> Tensor:
        result = convolution.forward_kernel.convolve(x, convolution.bias, "relu")
        ctx.convolution, ctx.size, distances = convolution, result.shape[2:], None
        if pool:
            result, distances = pooled(result)
        ctx.save_for_backward(result, distances)
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        result, distances = ctx.saved_tensors
        # Where a pooled maximum is 0, so is the derivative of the ReLU.
        grad = torch.ops.aten.threshold_backward(grads[0], result, 0)
        if distances is not None:
            grad = unpooled(grad, distances, *ctx.size)
        return ctx.convolution.backward_kernel.convolve(grad, None, "none"), None, None
