"""VGG19 (Simonyan and Zisserman, 2015) as a fixed feature extractor."""

from collections.abc import Collection, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from nst.parameters import LAYERS, Pooling
from nst.weights import CONVOLUTIONS, MEAN, STD, Weights
from nst.winograd import WinogradReLU

_ENDS = ("conv1_2", "conv2_2", "conv3_4", "conv4_4")  # before a pooling
HUGE = 2**22  # pixels of a picture, above which memory is dearer than time
_WIDE, _LARGE = 128, 2**17  # output channels and input numbers from which Winograd's way is the faster one
_WIDEST = 256  # input channels for which it is used: beyond that, for relu5_1 only, kernels would take 300 MB


class VGG19(nn.Module):
    """The convolutional part of VGG19; weights are constants and get no gradient.

    `dtype` is what activations are computed in; the picture itself may stay fp32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Weights, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))
        self.dtype = dtype
        for name in CONVOLUTIONS:
            kernel, bias = weights.kernels[name].to(dtype), weights.biases[name].to(dtype)
            self.add_module(name, _ConvolutionReLU(kernel, bias))

    def forward(
        self, image: Tensor, layers: Collection[str], pooling: Pooling = "max"
    ) -> Iterator[tuple[str, Tensor]]:
        """Map RGB in 0..1, `(B, 3, H, W)`, to each of `layers` and its features after ReLU, `(B, C, h, w)`.

        They come from the shallowest to the deepest; nothing past the last of them is computed. What is
        made of a layer before the next one is asked for is also differentiated late, after all deeper ones,
        so that its gradient does not lie about in the meantime.
        """
        pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        left, huge = set(layers), image[0, 0].numel() > HUGE
        x = ((image - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        for name, layer in zip(CONVOLUTIONS, LAYERS, strict=True):
            if not left:
                return
            wanted, ends = layer in left, name in _ENDS
            # Max pooling and ReLU may change places, and the ReLU then has a quarter of the work.
            early = ends and not wanted and pooling == "max"
            convolution = self.get_submodule(name)
            if early and huge:
                # Convolved once more on the way back: poolings keep more than all the rest.
                x = checkpoint(convolution, x, early, use_reentrant=False, preserve_rng_state=False)
            else:
                x = convolution(x, early)
            if wanted:
                left.remove(layer)
                yield layer, x
            if ends and not early and left:
                x = pool(x, 2)


class _ConvolutionReLU(nn.Module):
    kernel: Tensor
    bias: Tensor

    def __init__(self, kernel: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.register_buffer("kernel", kernel.contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias)
        outputs, inputs = kernel.shape[:2]
        suits = kernel.dtype == torch.float32 and outputs >= _WIDE and inputs <= _WIDEST
        self._winograd = WinogradReLU(kernel, bias) if suits else None

    def forward(self, x: Tensor, pool: bool = False) -> Tensor:
        if self._winograd and x.device.type == "cpu" and x[0].numel() >= _LARGE:
            x = self._winograd(x)
            return F.max_pool2d(x, 2) if pool else x
        x = F.conv2d(x, self.kernel, self.bias, padding=1)
        return F.relu_(F.max_pool2d(x, 2) if pool else x)
