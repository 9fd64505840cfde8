"""VGG19 (Simonyan and Zisserman, 2015) as a fixed feature extractor.

Departure from Gatys et al.: the network pools by maximum, as VGG19 was published; the paper replaces this by
average pooling (section 'Methods'), which `pooling="avg"` selects.

Departure from Gatys et al.: on hardware that multiplies bf16 natively, features are computed in bf16, while
the picture, Gram matrices and sums stay in fp32. This halves the time of the convolutions, and no loss in
quality was measurable.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nst import cudnn, onednn
from nst.parameters import LAYERS, Pooling
from nst.pooling import max_pool
from nst.weights import CONVOLUTIONS, MEAN, STD, Weights
from nst.winograd import WinogradReLU

_BEFORE_POOLING = ("conv1_2", "conv2_2", "conv3_4", "conv4_4")
# Each layer, from the shallowest to the deepest, and whether a pooling follows it.
DEPTHS = tuple((layer, name in _BEFORE_POOLING) for name, layer in zip(CONVOLUTIONS, LAYERS, strict=True))
# Winograd's algorithm is faster from this many output channels and this many input numbers on. It is not used
# for more input channels than this: of the default layers only relu5_1 needs such convolutions, and their
# transformed kernels take 300 MB.
_WINOGRAD_OUTPUTS, _WINOGRAD_NUMBERS, _WINOGRAD_MOST_INPUTS = 128, 2**17, 256


def in_order(layers: Collection[str]) -> list[str]:
    """These layers from the shallowest to the deepest."""
    return sorted(layers, key=LAYERS.index)


@dataclass
class Tap:
    """A layer on the way through the network, with its features after ReLU, `(B, C, h, w)`.

    If other features of the same values are assigned, deeper layers are computed from those, see
    `nst.gram.with_gram`.
    """

    layer: str
    features: Tensor


class VGG19(nn.Module):
    """The convolutional part of VGG19. Its weights are constants and get no gradient."""

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Weights, dtype: torch.dtype = torch.float32) -> None:
        """`dtype` is the type of the kernels and features; the input picture may stay fp32."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.dtype = dtype
        for name in CONVOLUTIONS:
            kernel, bias = weights.kernels[name].to(dtype), weights.biases[name].to(dtype)
            self.add_module(name, _ConvolutionBlock(kernel, bias))

    def forward(self, image: Tensor, layers: Collection[str], pooling: Pooling = "max") -> Iterator[Tap]:
        """Map RGB in 0..1, `(B, 3, H, W)`, to the features of each of `layers`.

        The iterator yields layers from the shallowest to the deepest and computes nothing beyond the deepest
        one. What the caller computes from a layer before it requests the next one is differentiated after all
        deeper layers, because autograd goes backwards; so its gradient is not kept in memory meanwhile.
        """
        remaining = set(layers)
        x = ((image - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        for name, layer in zip(CONVOLUTIONS, LAYERS, strict=True):
            if not remaining:
                return
            requested, pooled = layer in remaining, name in _BEFORE_POOLING
            # Max pooling and ReLU commute. Pooling first leaves a quarter of the numbers to the ReLU.
            pool_first = pooled and not requested and pooling == "max"
            x = self.get_submodule(name)(x, pool_first)
            if requested:
                remaining.remove(layer)
                tap = Tap(layer, x)
                yield tap
                x = tap.features
            if pooled and not pool_first and remaining:
                x = _max_pool(x) if pooling == "max" else F.avg_pool2d(x, 2)


class _ConvolutionBlock(nn.Module):
    """A 3×3 convolution with its ReLU and, if asked for, a max pooling."""

    kernel: Tensor
    bias: Tensor

    def __init__(self, kernel: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        outputs, inputs = kernel.shape[:2]
        suitable = (
            kernel.dtype == torch.float32 and outputs >= _WINOGRAD_OUTPUTS and inputs <= _WINOGRAD_MOST_INPUTS
        )
        self._winograd = WinogradReLU(kernel, bias) if suitable else None

    @cached_property
    def _packed(self) -> onednn.ConvolutionReLU:
        return onednn.ConvolutionReLU(self.kernel, self.bias)

    def forward(self, x: Tensor, pool: bool = False) -> Tensor:
        if self._winograd and x.device.type == "cpu" and x[0].numel() >= _WINOGRAD_NUMBERS:
            return self._winograd(x, pool)
        if onednn.suits(x):
            return self._packed(x, pool)
        if cudnn.suits(x, self.kernel):
            return cudnn.convolution_relu(x, self.kernel, self.bias, pool)
        x = F.conv2d(x, self.kernel, self.bias, padding=1)
        return F.relu_(_max_pool(x) if pool else x)


def _max_pool(x: Tensor) -> Tensor:
    return max_pool(x) if x.device.type == "cpu" else F.max_pool2d(x, 2)
