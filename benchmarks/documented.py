"""The algorithm of Gatys et al. as tutorials implement it; the baseline of the comparison."""

import time
from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import vgg19

from benchmarks.pictures import Snapshot
from nst.images import to_image, to_tensor
from nst.weights import CONVOLUTIONS, MEAN, STD, load_weights

STYLE_LAYERS = (1, 6, 11, 20, 29)  # relu1_1 to relu5_1 in torchvision's list
CONTENT_LAYER = 20


def network() -> nn.Sequential:
    """torchvision's VGG19, unchanged, with the embedded weights."""
    features = vgg19(weights=None).features.requires_grad_(False).eval()
    weights = load_weights()
    convolutions = [module for module in features if isinstance(module, nn.Conv2d)]
    for module, name in zip(convolutions, CONVOLUTIONS, strict=True):
        module.weight.copy_(weights.kernels[name])
        assert module.bias is not None
        module.bias.copy_(weights.biases[name])
    return nn.Sequential(*features[: STYLE_LAYERS[-1] + 1])


def activations(features: nn.Sequential, picture: Tensor) -> Mapping[int, Tensor]:
    """Outputs of the layers that the losses use."""
    mean, std = (torch.tensor(values, device=picture.device).view(1, 3, 1, 1) for values in (MEAN, STD))
    x, found = (picture - mean) / std, {}
    for index, module in enumerate(features):
        x = module(x)
        if index in STYLE_LAYERS:
            found[index] = x
    return found


def gram(features: Tensor) -> Tensor:
    """Gram matrix of features `(1, C, H, W)`, divided by C * H * W: `(C, C)`."""
    _, c, h, w = features.shape
    flat = features.view(c, h * w)
    return flat @ flat.T / (c * h * w)


def stylize(content: Image.Image, style: Image.Image, epochs: int, device: str = "cpu") -> list[Snapshot]:
    """Optimise pixels with `torch.optim.LBFGS`, clamped in the closure; the picture after each epoch.

    An epoch has 20 closures.
    """
    features = network().to(device)
    wanted, target = (to_tensor(image)[None].contiguous().to(device) for image in (content, style))
    with torch.no_grad():
        kept = activations(features, wanted)[CONTENT_LAYER]
        grams = {index: gram(f) for index, f in activations(features, target).items()}
    picture = wanted.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([picture])

    def closure() -> Tensor:
        with torch.no_grad():
            picture.clamp_(0, 1)
        optimiser.zero_grad()
        found = activations(features, picture)
        loss = (found[CONTENT_LAYER] - kept).square().mean()
        for index, gram_wanted in grams.items():
            loss = loss + 1e6 * (gram(found[index]) - gram_wanted).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    began, snapshots = time.perf_counter(), [Snapshot(0.0, content)]
    for _ in range(epochs):
        optimiser.step(closure)  # type: ignore[no-untyped-call]
        pixels = picture.detach().clamp(0, 1).cpu()  # on a GPU, this waits for the end of the epoch
        snapshots.append(Snapshot(time.perf_counter() - began, to_image(pixels[0])))
    return snapshots
