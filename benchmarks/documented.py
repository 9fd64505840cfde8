"""Gatys' algorithm as tutorials have it: what others are used to, and what we compare with."""

import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import vgg19

from nst.weights import CONVOLUTIONS, MEAN, STD, load_weights

STYLE_LAYERS = (1, 6, 11, 20, 29)  # relu1_1 to relu5_1 in torchvision's list
CONTENT_LAYER = 20


def network() -> nn.Sequential:
    """torchvision's VGG19 as it comes, with the embedded weights."""
    features = vgg19(weights=None).features.requires_grad_(False).eval()
    weights = load_weights()
    convolutions = [module for module in features if isinstance(module, nn.Conv2d)]
    for module, name in zip(convolutions, CONVOLUTIONS, strict=True):
        module.weight.copy_(weights.kernels[name])
        assert module.bias is not None
        module.bias.copy_(weights.biases[name])
    return nn.Sequential(*features[: STYLE_LAYERS[-1] + 1])


def activations(features: nn.Sequential, picture: Tensor) -> Mapping[int, Tensor]:
    """Outputs of the layers that the losses look at."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    x, found = (picture - mean) / std, {}
    for index, module in enumerate(features):
        x = module(x)
        if index in STYLE_LAYERS:
            found[index] = x
    return found


def gram(features: Tensor) -> Tensor:
    """Gram matrix over C * H * W."""
    _, c, h, w = features.shape
    flat = features.view(c, h * w)
    return flat @ flat.T / (c * h * w)


def stylize(content: Tensor, style: Tensor, epochs: int) -> tuple[Tensor, float]:
    """`torch.optim.LBFGS` on `(1, 3, H, W)` pixels, clamped in the closure; the picture and its seconds."""
    features, content, style = network(), content.contiguous(), style.contiguous()
    with torch.no_grad():
        kept = activations(features, content)[CONTENT_LAYER]
        wanted = {index: gram(f) for index, f in activations(features, style).items()}
    picture = content.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([picture])

    def closure() -> Tensor:
        with torch.no_grad():
            picture.clamp_(0, 1)
        optimiser.zero_grad()
        found = activations(features, picture)
        loss = (found[CONTENT_LAYER] - kept).square().mean()
        for index, target in wanted.items():
            loss = loss + 1e6 * (gram(found[index]) - target).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    began = time.perf_counter()
    for _ in range(epochs):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
    return picture.detach().clamp(0, 1), time.perf_counter() - began
