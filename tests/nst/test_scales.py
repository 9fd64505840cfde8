import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image

from nst import NSTError, Stylizer
from nst.scales import split
from tests.conftest import SHALLOW, make_picture
from tests.nst.pairs import prepared


def test_large_pictures_are_optimised_from_coarse_to_fine(stylizer: Stylizer) -> None:
    (result,) = stylizer.run([prepared(size=(400, 100), **SHALLOW)])
    scales = [evaluation.scale for evaluation in result.evaluations]
    assert scales == sorted(scales)
    assert set(scales) == {100, 200, 400}
    assert result.image.size == (400, 100)


@pytest.mark.parametrize(("iterations", "levels"), [(20, 1), (20, 2), (200, 3), (20, 7)])
def test_all_iterations_are_split_among_the_scales(iterations: int, levels: int) -> None:
    shares = split(iterations, levels)
    assert len(shares) == levels
    assert sum(shares) == iterations
    assert min(shares) >= 1


def test_a_scale_ends_early_if_twenty_steps_lower_its_loss_too_little(stylizer: Stylizer) -> None:
    steps = {}
    for tolerance in (0.0, 0.5, 0.999):
        (result,) = stylizer.run([prepared(epochs=4, tolerance=tolerance, **SHALLOW)])
        steps[tolerance] = len(result.evaluations)
        assert [e.step for e in result.evaluations] == list(range(1, len(result.evaluations) + 1))
    assert steps[0.0] == 80
    assert steps[0.5] == steps[0.999] == 41  # the second window of 20 steps is the first that is compared


def test_a_pair_that_converges_early_does_not_end_the_others_of_its_batch(stylizer: Stylizer) -> None:
    early, late = stylizer.run([prepared(epochs=3, tolerance=0.999), prepared(3, epochs=3, tolerance=0.0)])
    assert (len(early.evaluations), len(late.evaluations)) == (41, 60)


def test_equal_seeds_give_equal_pictures_from_a_random_start(stylizer: Stylizer) -> None:
    one, same, other = (stylizer.run([prepared(init="random", seed=seed)])[0].image for seed in (7, 7, 8))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


def test_the_start_has_the_styles_colours_only_if_the_style_weighs_enough(stylizer: Stylizer) -> None:
    content = Image.eval(make_picture(seed=1), lambda level: 90 + level // 8)
    style = make_picture(64, 64, seed=2)
    strong, weak = (
        stylizer.stylize(content, style, epochs=1, style_weight=weight).evaluations[0].losses
        for weight in (1e6, 1e-6)
    )
    assert weak.content < 1e-6 < strong.content
    assert strong.style < weak.style


def test_a_picture_without_any_loss_does_not_change(stylizer: Stylizer) -> None:
    content = Image.new("RGB", (48, 48), (30, 160, 60))
    result = stylizer.stylize(content, content, epochs=1, content_weight=0, style_weight=0, tv_weight=1)
    assert result.losses.total == 0
    assert all(math.isfinite(e.losses.total) for e in result.evaluations)


def test_a_pair_without_any_finite_loss_fails_and_delivers_no_picture(stylizer: Stylizer) -> None:
    pair = prepared()
    broken = replace(pair, starts=torch.full_like(pair.starts, math.nan))
    with pytest.raises(NSTError, match="the loss is not a finite number"):
        stylizer.run([broken])


def test_of_two_starts_one_with_a_loss_that_is_not_finite_is_not_chosen(stylizer: Stylizer) -> None:
    pair = prepared()
    starts = torch.stack([pair.starts[0], torch.full_like(pair.starts[1], math.nan)])
    (result,) = stylizer.run([replace(pair, starts=starts)])
    assert all(math.isfinite(e.losses.total) for e in result.evaluations)


@pytest.mark.parametrize(
    "weights",
    [
        {"content_weight": 0, "style_weight": 1e-10},
        {"content_weight": 0, "style_weight": 1e15, "style_layers": {"relu1_1": 10, "relu4_1": 10}},
        {"content_weight": 1e15, "content_layers": {"relu1_1": 10}, "style_weight": 1e15},
        {"content_weight": 1e-30, "style_weight": 1e6},
        {"content_weight": 0, "style_weight": 0, "tv_weight": 1e-10},
        {"content_weight": 0, "style_weight": 0, "tv_weight": 1e15},
    ],
)
def test_the_smallest_and_largest_weights_give_a_picture_of_lower_loss(
    stylizer: Stylizer, weights: dict[str, Any]
) -> None:
    (result,) = stylizer.run([prepared(init="random", **weights)])
    assert all(math.isfinite(e.losses.total) for e in result.evaluations)
    assert result.losses.total < 0.5 * result.evaluations[0].losses.total
