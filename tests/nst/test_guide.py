from collections.abc import Collection, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from nst.guide import Guide
from nst.objective import Layers, Objective, gram, style_grams
from nst.parameters import LAYERS, Parameters
from nst.vgg import VGG19

DEFAULT = Layers(Parameters().content_layers, Parameters().style_layers)
ONE = Layers({"relu1_1": 1.0}, {"relu2_1": 1.0})
DEEP = Layers({"relu2_1": 1.0}, {"relu1_1": 1e-6, "relu3_1": 1e6})


class Counted:
    """Counts, for each pass through a network, how many of its layers are wanted at least."""

    def __init__(self, vgg: VGG19) -> None:
        self.vgg, self.depths = vgg, list[int]()

    def __call__(self, image: Tensor, layers: Collection[str], *rest: Any) -> Iterator[tuple[str, Tensor]]:
        self.depths.append(max(map(LAYERS.index, layers)))
        return self.vgg.forward(image, layers, *rest)


def objective_of(vgg: Any, layers: Layers) -> Objective:
    content, style = (torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    return Objective(vgg, content, style_grams(vgg, style, layers), layers)


def other_image() -> Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()


def test_the_first_values_are_those_of_the_objective(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    terms, share = Guide(objective)(image)
    expected = objective(image)
    assert terms.content.item() == pytest.approx(expected.content.item())
    assert terms.style.item() == pytest.approx(expected.style.item())
    assert 0 < share.item() < 1


def test_the_deepest_layer_is_passed_through_every_fortieth_time(vgg: VGG19) -> None:
    network = Counted(vgg)
    guide = Guide(objective_of(network, DEFAULT))
    network.depths.clear()
    image = other_image()
    values = [guide(image)[0].style.item() for _ in range(81)]
    deep, near = LAYERS.index("relu5_1"), LAYERS.index("relu4_1")
    assert network.depths == [deep, *[near] * 39, deep, *[near] * 39, deep]
    assert values == pytest.approx([values[0]] * 81)  # the picture has not moved


def test_between_its_turns_the_deepest_layer_is_linear(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    guide = Guide(objective)
    guide(image)
    moved = (image + 1e-3).detach().requires_grad_()
    assert guide(moved)[0].style.item() == pytest.approx(objective(moved).style.item(), rel=1e-3)


def test_a_deepest_layer_that_matters_does_not_lag(vgg: VGG19) -> None:
    network = Counted(vgg)
    guide = Guide(objective_of(network, DEEP))
    network.depths.clear()
    for _ in range(3):
        _, share = guide(other_image())
        guide.weigh(share.item())
    assert network.depths == [LAYERS.index("relu3_1")] * 3


def test_what_a_lagging_layer_was_told_wrongly_is_put_right_when_it_is_looked_at(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    guide = Guide(objective)
    guide(image)
    moved = (0.5 * image).detach().requires_grad_()
    told = guide(moved)[0].style
    assert not guide.correction.any()
    guide.weigh(1.0)
    found = guide(moved)[0].style
    assert found.item() == pytest.approx(objective(moved).style.item(), rel=1e-5)
    assert guide.correction.item() == pytest.approx((found - told).item(), rel=1e-3)
    assert abs(guide.correction.item()) > 1e-3 * told.item()
    guide(moved)
    assert not guide.correction.any()


def test_damping_holds_the_strongest_direction_back_until_progress_slows(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    (true,) = torch.autograd.grad(objective(image).style.sum(), image)
    guide = Guide(objective)
    for step, damped in ((10, True), (20, True), (30, True), (40, False)):
        for _ in range(step - 10, step):
            terms, _ = guide(image)
        (found,) = torch.autograd.grad(terms.style.sum(), image)
        assert (found.norm() < 0.7 * true.norm()) == damped
        assert torch.allclose(found, true, rtol=1e-3, atol=1e-3 * true.abs().max().item()) != damped
        guide.progress(torch.tensor([{10: 8.0, 20: 7.5, 30: 7.2, 40: 7.1}[step]]))


def test_what_is_held_back_is_the_strongest_eigenvector(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, ONE), other_image()
    target = objective.grams["relu2_1"]
    values, vectors = torch.linalg.eigh(target[0].double())
    strength = values[-1] / (values[-1] + 0.4 * torch.linalg.matrix_norm(target[0].double()))
    held = torch.eye(128) - strength * torch.outer(vectors[:, -1], vectors[:, -1])
    features = dict(vgg(image, ["relu2_1"]))["relu2_1"]
    seen = held.float() @ (gram(features) - target) @ held.float()
    (expected,) = torch.autograd.grad(gram(features), image, 2 / 128**2 * seen.detach())
    (found,) = torch.autograd.grad(Guide(objective)(image)[0].style.sum(), image)
    assert torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


def test_a_black_style_holds_nothing_back(vgg: VGG19) -> None:
    black = {"relu2_1": torch.zeros(1, 128, 128)}
    objective, image = Objective(vgg, torch.rand(1, 3, 32, 32), black, ONE), other_image()
    (found,) = torch.autograd.grad(Guide(objective)(image)[0].style.sum(), image)
    (true,) = torch.autograd.grad(objective(image).style.sum(), image)
    assert torch.allclose(found, true)


def test_a_pair_is_damped_for_itself(vgg: VGG19) -> None:
    objective = objective_of(vgg, DEFAULT)
    both = Objective(
        vgg,
        torch.rand(1, 3, 32, 32).expand(2, -1, -1, -1),
        {name: gram.expand(2, -1, -1) for name, gram in objective.grams.items()},
        DEFAULT,
    )
    guide, image = Guide(both), other_image().detach().expand(2, -1, -1, -1).clone().requires_grad_()
    for loss in ([2.0, 2.0], [1.0, 1.95]):
        for _ in range(10):
            guide(image)
        guide.progress(torch.tensor(loss))
    (found,) = torch.autograd.grad(guide(image)[0].style.sum(), image)
    assert found[0].norm().item() < 0.7 * found[1].norm().item()


def test_nothing_lags_where_the_content_is_deepest_or_one_layer_is_all(vgg: VGG19) -> None:
    for layers in (
        Layers({"relu3_1": 1.0}, {"relu1_1": 1.0, "relu3_1": 1.0}),
        Layers({"relu1_1": 1.0}, {"relu3_1": 1.0}),
    ):
        network = Counted(vgg)
        guide = Guide(objective_of(network, layers))
        network.depths.clear()
        for _ in range(3):
            guide(other_image())
        assert network.depths == [LAYERS.index("relu3_1")] * 3
