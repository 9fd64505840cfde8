import weakref
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from nst.guide import Guide, GuideStep
from nst.objective import Layers, Objective, style_grams
from nst.parameters import LAYERS, Parameters
from nst.vgg import VGG19, Tap

DEFAULT = Layers(Parameters().content_layers, Parameters().style_layers)
DEEP = Layers({"relu2_1": 1.0}, {"relu1_1": 1e-6, "relu3_1": 1e6})
LOSS = torch.ones(1)  # for tests in which the best loss does not matter


class RecordingNetwork:
    """Records the deepest layer that each call requests."""

    def __init__(self, vgg: VGG19) -> None:
        self.vgg, self.depths = vgg, list[str]()

    def __call__(self, image: Tensor, layers: Collection[str], *rest: Any) -> Iterator[Tap]:
        self.depths.append(max(layers, key=LAYERS.index))
        return self.vgg.forward(image, layers, *rest)


def objective_of(vgg: Any, layers: Layers) -> Objective:
    content, style = (torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
    return Objective(vgg, content, style_grams(vgg, style, layers), layers)


def other_image() -> Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2)).requires_grad_()


def advance(guide: Guide, image: Tensor, loss: Tensor, shares: Sequence[float] = ()) -> GuideStep:
    return guide.step(image, loss, guide.next_mode(shares))


def style_gradient(style: Tensor, image: Tensor) -> Tensor:
    (gradient,) = torch.autograd.grad(style.sum(), image)
    return gradient


def test_the_first_terms_equal_those_of_the_objective(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    terms, correction, share = advance(Guide(objective), image, LOSS)
    expected = objective(image)
    assert terms.content.item() == pytest.approx(expected.content.item())
    assert terms.style.item() == pytest.approx(expected.style.item())
    assert correction.item() == 0
    assert 0 < share.item() < 1


def test_the_deepest_layer_is_evaluated_at_every_fortieth_step(vgg: VGG19) -> None:
    network = RecordingNetwork(vgg)
    guide = Guide(objective_of(network, DEFAULT))
    network.depths.clear()
    image = other_image()
    styles = [advance(guide, image, LOSS).terms.style.item() for _ in range(81)]
    forty = ["relu5_1", *["relu4_1"] * 40]  # the deepest layer has a pass of its own
    assert network.depths == [*forty, *forty, "relu5_1", "relu4_1"]
    assert styles == pytest.approx([styles[0]] * 81)  # the extrapolation is exact where it starts


def test_the_deepest_layer_is_extrapolated_linearly_in_between(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    guide = Guide(objective)
    advance(guide, image, LOSS)
    moved = (image + 1e-3).detach().requires_grad_()
    style = advance(guide, moved, LOSS).terms.style
    assert style.item() == pytest.approx(objective(moved).style.item(), rel=1e-3)


def test_a_deepest_layer_with_a_large_share_is_evaluated_at_every_step(vgg: VGG19) -> None:
    network = RecordingNetwork(vgg)
    guide = Guide(objective_of(network, DEEP))
    network.depths.clear()
    shares: list[float] = []
    for _ in range(3):
        shares = advance(guide, other_image(), LOSS, shares).deepest_share.tolist()
    assert network.depths == ["relu3_1", "relu2_1", "relu3_1", "relu3_1"]


def test_a_share_that_is_not_a_number_does_not_stop_the_extrapolation(vgg: VGG19) -> None:
    network = RecordingNetwork(vgg)
    guide = Guide(objective_of(network, DEFAULT))
    network.depths.clear()
    for _ in range(2):
        advance(guide, other_image(), LOSS, [torch.nan, 0.01])
    assert network.depths == ["relu5_1", "relu4_1", "relu4_1"]


def test_the_correction_is_the_error_of_the_extrapolation(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    guide = Guide(objective)
    advance(guide, image, LOSS)
    moved = (0.5 * image).detach().requires_grad_()
    extrapolated = advance(guide, moved, LOSS)
    assert not extrapolated.correction.any()
    exact = advance(guide, moved, LOSS, [1.0])
    assert exact.terms.style.item() == pytest.approx(objective(moved).style.item(), rel=1e-5)
    error = (exact.terms.style - extrapolated.terms.style).item()
    assert exact.correction.item() == pytest.approx(error, rel=1e-3)
    assert abs(error) > 1e-3 * extrapolated.terms.style.item()
    assert not advance(guide, moved, LOSS).correction.any()


def test_the_correction_is_the_error_of_the_extrapolation_also_where_a_new_one_starts(
    vgg: VGG19, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst.guide._REFRESH_INTERVAL", 2)
    guide, image = Guide(objective_of(vgg, DEFAULT)), other_image()
    moved = (0.5 * image).detach().requires_grad_()
    advance(guide, image, LOSS)
    extrapolated, renewed = (advance(guide, moved, LOSS) for _ in range(2))
    error = (renewed.terms.style - extrapolated.terms.style).item()
    assert renewed.correction.item() == pytest.approx(error, rel=1e-3)
    assert abs(error) > 1e-3 * extrapolated.terms.style.item()


def test_features_of_the_deepest_layers_pass_are_not_kept(vgg: VGG19) -> None:
    passes = list[list[weakref.ref[Tensor]]]()

    class Watching(RecordingNetwork):
        def __call__(self, image: Tensor, layers: Collection[str], *rest: Any) -> Iterator[Tap]:
            alive.append(sum(ref() is not None for each in passes for ref in each))
            passes.append([])
            for tap in super().__call__(image, layers, *rest):
                passes[-1].append(weakref.ref(tap.features))
                yield tap

    alive = list[int]()
    guide = Guide(objective_of(Watching(vgg), DEFAULT))
    passes.clear()
    alive.clear()
    advance(guide, other_image(), LOSS)
    assert alive == [0, 0]


def test_the_gradient_is_damped_until_ten_steps_lower_the_loss_too_little(vgg: VGG19) -> None:
    objective, image = objective_of(vgg, DEFAULT), other_image()
    exact = style_gradient(objective(image).style, image)
    guide = Guide(objective)
    # The loss after 10, 20 and 30 steps is 8, 7.5 and 7.2.
    for loss, steps, damped in ((torch.inf, 10, True), (8.0, 10, True), (7.5, 10, True), (7.2, 1, False)):
        for _ in range(steps):
            terms = advance(guide, image, torch.tensor([loss])).terms
        found = style_gradient(terms.style, image)
        assert (found.norm() < 0.7 * exact.norm()) == damped
        assert torch.allclose(found, exact, rtol=1e-3, atol=1e-3 * exact.abs().max().item()) != damped


def test_damping_ends_for_each_pair_on_its_own(vgg: VGG19) -> None:
    objective = objective_of(vgg, DEFAULT)
    both = Objective(
        vgg,
        torch.rand(1, 3, 32, 32).expand(2, -1, -1, -1),
        {name: gram.expand(2, -1, -1) for name, gram in objective.grams.items()},
        DEFAULT,
    )
    guide, image = Guide(both), other_image().detach().expand(2, -1, -1, -1).clone().requires_grad_()
    for loss in [[3.0, 3.0]] * 10 + [[2.0, 2.0]] * 10 + [[1.0, 1.95]]:
        terms = advance(guide, image, torch.tensor(loss)).terms
    found = style_gradient(terms.style, image)
    assert found[0].norm().item() < 0.7 * found[1].norm().item()


@pytest.mark.parametrize(
    "layers",
    [
        Layers({"relu3_1": 1.0}, {"relu1_1": 1.0, "relu3_1": 1.0}),
        Layers({"relu1_1": 1.0}, {"relu3_1": 1.0}),
    ],
    ids=["the content needs the deepest layer", "the style has one layer"],
)
def test_no_layer_is_extrapolated_if_that_saves_nothing(vgg: VGG19, layers: Layers) -> None:
    network = RecordingNetwork(vgg)
    guide = Guide(objective_of(network, layers))
    network.depths.clear()
    for _ in range(3):
        advance(guide, other_image(), LOSS)
    assert network.depths == ["relu3_1"] * 3
