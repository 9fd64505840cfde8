from collections.abc import Collection, Iterable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nst.gram import gram, with_gram
from nst.objective import Layers, Objective, mix_grams, style_grams, total_variation
from nst.parameters import Parameters, Pooling
from nst.vgg import VGG19, Tap
from nst.weights import Weights

DEFAULT = Layers(Parameters().content_layers, Parameters().style_layers)


def plain_gram(features: Tensor) -> Tensor:
    b, c, h, w = features.shape
    flat = features.reshape(b, c, h * w)
    return flat @ flat.transpose(1, 2) / (c * h * w)


def test_the_terms_are_the_documented_ones(vgg: VGG19) -> None:
    image, content, style = (torch.rand(1, 3, 40, 48, generator=seeded(i)) for i in range(3))
    objective = Objective(vgg, content, style_grams(vgg, style, DEFAULT), DEFAULT)
    terms = objective(image)
    layers = [*DEFAULT.style, "relu4_1"]
    f, p, a = (features_of(vgg(x, layers)) for x in (image, content, style))
    expected = sum(F.mse_loss(plain_gram(f[k]), plain_gram(a[k])) for k in DEFAULT.style)
    assert terms.content.item() == pytest.approx(F.mse_loss(f["relu4_1"], p["relu4_1"]).item())
    assert terms.style.item() == pytest.approx(float(expected), rel=1e-4)


def test_the_gradient_of_the_gram_matrix_is_exact() -> None:
    features = torch.rand(2, 5, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(gram, features)


def test_the_gradient_of_the_gram_matrix_is_added_to_that_of_what_is_computed_later() -> None:
    features = torch.rand(2, 5, 4, 3, dtype=torch.float64, requires_grad=True)

    def both(features: Tensor) -> Tensor:
        same, found = with_gram(features)
        return found.pow(3).sum() + same.pow(2).sum()

    assert torch.autograd.gradcheck(both, features)


def test_the_gradient_has_the_memory_format_of_the_network_whatever_that_of_what_is_computed_later() -> None:
    features = torch.rand(2, 5, 4, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    same, found = with_gram(features)
    later, of_gram = torch.rand(2, 5, 4, 3), torch.rand(2, 5, 5)
    (expected,) = torch.autograd.grad(plain_gram(features), features, of_gram)
    (gradient,) = torch.autograd.grad((same, found), features, (later.clone(), of_gram))
    assert gradient.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(gradient, later + expected)


def test_the_gradient_of_the_content_error_has_the_memory_format_of_the_network(weights: Weights) -> None:
    gradients = list[Tensor]()

    class Watched(VGG19):
        def forward(self, image: Tensor, layers: Collection[str], pooling: Pooling = "max") -> Iterator[Tap]:
            for tap in super().forward(image, layers, pooling):
                if tap.features.requires_grad:
                    tap.features.register_hook(gradients.append)  # type: ignore[no-untyped-call]
                yield tap

    # Another layer than those of the style: what is computed for these has a format of its own.
    layers = Layers({"relu2_1": 1.0}, {"relu1_1": 1.0})
    image, content = (torch.rand(1, 3, 32, 48, generator=seeded(i)) for i in range(2))
    error, _ = Objective(Watched(weights), content, {}, layers).by_layer(image.requires_grad_(), {})
    torch.autograd.grad(error.sum(), image)
    assert len(gradients) == 1
    assert gradients[0].is_contiguous(memory_format=torch.channels_last)


def test_features_stay_where_they_are_and_as_they_are() -> None:
    features = torch.rand(1, 5, 4, 3).contiguous(memory_format=torch.channels_last).requires_grad_()
    same, _ = with_gram(features)
    assert same.data_ptr() == features.data_ptr()
    assert same.stride() == features.stride()


@pytest.mark.parametrize(
    ("height", "width", "error"), [(50, 70, 5e-4), (64, 64, 5e-4), (16, 16, 2e-3), (5, 3, 1e-6)]
)
def test_the_gram_matrix_of_bf16_features_is_nearly_exact(height: int, width: int, error: float) -> None:
    features = torch.rand(2, 8, height, width, generator=seeded(0)).bfloat16()
    features = features.contiguous(memory_format=torch.channels_last)
    found, exact = gram(features), plain_gram(features.float())
    assert found.dtype == torch.float32
    assert (found - exact).norm() < error * exact.norm()


def test_each_pair_of_a_batch_has_its_own_terms(vgg: VGG19) -> None:
    images = torch.rand(3, 3, 32, 32, generator=seeded(0))
    grams = style_grams(vgg, torch.rand(1, 3, 32, 32, generator=seeded(1)), DEFAULT)
    three = {k: g.expand(3, -1, -1) for k, g in grams.items()}
    content = images.flip(0)
    together = Objective(vgg, content, three, DEFAULT)(images)
    for i in range(3):
        alone = Objective(vgg, content[i : i + 1], grams, DEFAULT)(images[i : i + 1])
        assert together.content[i].item() == pytest.approx(alone.content.item(), rel=1e-4)
        assert together.style[i].item() == pytest.approx(alone.style.item(), rel=1e-4)


def test_total_variation_of_a_known_picture() -> None:
    image = torch.zeros(1, 3, 2, 2)
    image[:, :, :, 1] = 0.5  # one step to the right in each of two rows, none down
    assert total_variation(image).item() == pytest.approx(3 * 2 * 0.25 / 12)


def test_styles_are_mixed_by_their_share_of_the_weights() -> None:
    a, b = ({"relu1_1": torch.full((1, 2, 2), v)} for v in (1.0, 5.0))
    assert mix_grams([a, b], [3, 1])["relu1_1"].flatten().tolist() == [2.0] * 4


def test_nothing_beyond_the_deepest_requested_layer_is_computed(vgg: VGG19) -> None:
    computed: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: computed.append(name))
        for name, layer in vgg.named_children()
    ]
    assert [tap.layer for tap in vgg(torch.rand(1, 3, 32, 32), {"relu3_1", "relu1_1"})] == [
        "relu1_1",
        "relu3_1",
    ]
    for hook in hooks:
        hook.remove()
    assert computed == ["conv1_1", "conv1_2", "conv2_1", "conv2_2", "conv3_1"]


def test_the_weights_of_the_network_get_no_gradient(vgg: VGG19) -> None:
    assert not list(vgg.parameters())
    assert not any(buffer.requires_grad for buffer in vgg.buffers())


def test_the_network_can_pool_by_average(weights: Weights) -> None:
    vgg, image = VGG19(weights), torch.rand(1, 3, 32, 32)
    pooled = F.avg_pool2d(features_of(vgg(image, ["relu1_2"]))["relu1_2"], 2)
    expected = F.relu(F.conv2d(pooled, weights.kernels["conv2_1"], weights.biases["conv2_1"], padding=1))
    assert torch.allclose(features_of(vgg(image, ["relu2_1"], "avg"))["relu2_1"], expected, atol=1e-5)


def features_of(taps: Iterable[Tap]) -> dict[str, Tensor]:
    return {tap.layer: tap.features for tap in taps}


def seeded(value: int) -> torch.Generator:
    return torch.Generator().manual_seed(value)
