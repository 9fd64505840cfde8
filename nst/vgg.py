"""VGG19 (Simonyan and Zisserman, 2015) as a fixed feature extractor."""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nst.parameters import LAYERS, Pooling
from nst.weights import CONVOLUTIONS, MEAN, STD, Weights


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
            kernel = weights.kernels[name].to(dtype, memory_format=torch.channels_last)
            self.register_buffer(f"{name}_weight", kernel)
            self.register_buffer(f"{name}_bias", weights.biases[name].to(dtype))

    def forward(self, image: Tensor, layers: Collection[str], pooling: Pooling = "max") -> dict[str, Tensor]:
        """Map RGB in 0..1, `(B, 3, H, W)`, to `{layer: (B, C, h, w)}` after ReLU.

        Nothing past the last of `layers` is computed.
        """
        pool = F.max_pool2d if pooling == "max" else F.avg_pool2d
        wanted, found = set(layers), dict[str, Tensor]()
        x = ((image - self.mean) / self.std).to(self.dtype, memory_format=torch.channels_last)
        for name, layer in zip(CONVOLUTIONS, LAYERS, strict=True):
            if name.endswith("_1") and name != "conv1_1":
                x = pool(x, 2)
            x = F.conv2d(x, self.get_buffer(f"{name}_weight"), self.get_buffer(f"{name}_bias"), padding=1)
            x = F.relu_(x)
            if layer in wanted:
                found[layer] = x
                if len(found) == len(wanted):
                    break
        return found
