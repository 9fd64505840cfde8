"""Regions of styles, and parts of the content that are kept."""

import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from nst import Parameters, PreparedPair, Style, Stylizer, masks
from nst.errors import ImageError
from nst.gram import gram
from nst.images import Picture, to_tensor
from nst.masks import Regions, has_other_aspect, mask_of
from nst.objective import Layers, Objective, style_grams
from nst.regions import LayerGuide, picture_guides, style_guides
from nst.vgg import VGG19
from tests.conftest import make_picture
from tests.nst.test_objective import seeded

DEFAULT = Layers(Parameters().content_layers, Parameters().style_layers)


def half(width: int, height: int, left: bool) -> Image.Image:
    mask = Image.new("L", (width, height), 255 if left else 0)
    mask.paste(0 if left else 255, (width // 2, 0, width, height))
    return mask


def noise(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A mask of random levels."""
    levels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    return Image.fromarray(levels)


def pair_of(
    *styles: tuple[Style, float], keep: Image.Image | None = None, **parameters: object
) -> PreparedPair:
    chosen = Parameters.model_validate({"epochs": 1, "max_size": 96, **parameters})
    return PreparedPair.prepare(Picture(make_picture(96, 80, seed=1)), styles, chosen, keep)


def guide(*rows: list[float]) -> LayerGuide:
    return LayerGuide(torch.tensor(rows)[None, :, None])


def test_a_guided_gram_matrix_is_that_of_the_weighted_positions() -> None:
    features = torch.rand(1, 5, 1, 4, generator=seeded(0))
    found = guide([1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 1.0, 1.0]).grams(features)
    flat = features[0, :, 0]
    for region, weights in enumerate(([1.0, 0.5, 0.0, 0.0], [0.0, 0.5, 1.0, 1.0])):
        expected = flat * torch.tensor(weights) @ flat.T / (5 * sum(weights))
        assert torch.allclose(found[region], expected)


def test_the_gradient_of_guided_gram_matrices_is_exact() -> None:
    features = torch.rand(2, 3, 4, 3, dtype=torch.float64, generator=seeded(0)).requires_grad_()
    guides = LayerGuide(torch.rand(2, 2, 4, 3, dtype=torch.float64, generator=seeded(1)) - 0.3)
    assert torch.autograd.gradcheck(guides.grams, features)


def test_one_region_of_everything_is_the_gram_matrix_without_regions() -> None:
    features = torch.rand(2, 8, 5, 7, generator=seeded(0))
    everything = LayerGuide(torch.ones(2, 1, 5, 7))
    assert torch.allclose(everything.grams(features), gram(features))
    assert everything.combined(torch.tensor([3.0, 4.0])).tolist() == [3, 4]


def test_the_error_of_a_region_counts_by_its_share_of_the_picture() -> None:
    assert guide([1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0]).combined(torch.tensor([8.0, 2.0])).item() == 3


def test_a_region_without_positions_has_no_error_and_no_gradient() -> None:
    features = torch.rand(1, 3, 1, 2, generator=seeded(0)).requires_grad_()
    empty = guide([0.0, 0.0])
    loss = empty.combined(empty.grams(features).sum((1, 2))).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == 0
    assert features.grad is not None
    assert not features.grad.any()


def test_deep_layers_leave_out_positions_whose_receptive_field_leaves_the_region() -> None:
    left = torch.zeros(1, 1, 128, 128)
    left[..., :64] = 1
    shares = [found.shares.item() for found in picture_guides(left, DEFAULT.style).values()]
    assert shares == sorted(shares, reverse=True)
    assert 0.48 < shares[0] < 0.5
    assert 0.2 < shares[-1] < 0.45


def test_an_even_grey_guide_is_not_reduced() -> None:
    grey = torch.full((1, 1, 64, 64), 0.5)
    for found in picture_guides(grey, DEFAULT.style).values():
        assert found.shares.item() == pytest.approx(0.5, abs=1e-3)


def test_a_small_part_of_a_style_has_a_target_at_every_layer() -> None:
    part = torch.zeros(1, 1, 64, 64)
    part[..., 30:33, 30:33] = 1
    assert all(found.shares.item() > 0 for found in style_guides(part, DEFAULT.style).values())


def test_overlapping_regions_share_and_grey_masks_leave_the_rest_uncovered() -> None:
    white, grey = (Image.new("L", (32, 32), level) for level in (255, 51))
    shared = Regions.of([white, half(32, 32, True)], [1, 2], None, [(32, 32)])
    assert shared is not None
    assert shared.guides[0][:, 0, 0].tolist() == [128, 128]
    assert shared.guides[0][:, 0, -1].tolist() == [255, 0]
    faint = Regions.of([grey], [1], None, [(32, 32)])
    assert faint is not None
    assert faint.guides[0].flatten().tolist() == [51] * 32**2


@pytest.mark.parametrize("kept", [False, True])
def test_shares_are_those_of_all_masks_at_once_to_the_last_bit(kept: bool) -> None:
    chosen = [noise(seed) for seed in range(5)]
    keep = noise(9) if kept else None
    levels = np.stack([np.asarray(mask, np.float32) / np.float32(255) for mask in [*chosen, noise(9)]])
    shared = levels[:-1] / levels[:-1].sum(0).clip(min=1) * (1 - levels[-1] if kept else 1)
    found = Regions.of(chosen, [1] * 5, keep, [(64, 48)])
    assert found is not None
    assert (found.guides[0].numpy() == (255 * shared).round()).all()


def test_more_regions_take_no_more_memory_than_their_guides() -> None:
    size = (512, 512)
    chosen = [noise(seed, size) for seed in range(12)]
    tracemalloc.start()
    Regions.of(chosen, [1] * 12, noise(12, size), [size])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < masks.regions_bytes(size, 12)


def test_styles_of_equal_masks_have_one_region() -> None:
    chosen = [half(32, 32, True), None, half(32, 32, True), None]
    found = Regions.of(chosen, [1, 1, 1, 1], None, [(32, 32)])
    assert found is not None
    assert found.members == ((0, 2), (1, 3))


def test_the_strength_of_a_region_is_the_mean_weight_of_its_styles() -> None:
    chosen = [half(32, 32, True), half(32, 32, False), half(32, 32, True)]
    found = Regions.of(chosen, [3, 1, 3], None, [(32, 32)])
    assert found is not None
    assert found.strengths == (1.5, 0.5)


def test_without_masks_there_are_no_regions() -> None:
    assert Regions.of([None, None], [1, 1], None, [(32, 32)]) is None


def test_masks_are_fitted_to_the_picture() -> None:
    found = Regions.of([half(8, 4, True)], [1], None, [(64, 48), (128, 96)])
    assert found is not None
    assert [tuple(each.shape) for each in found.guides] == [(1, 48, 64), (1, 96, 128)]
    assert found.guides[1][0, 50, [0, 127]].tolist() == [255, 0]


def test_transparent_parts_of_a_mask_are_black_and_the_noise_of_jpeg_is_removed() -> None:
    white = Image.new("RGB", (4, 1), "white")
    alpha = Image.fromarray(np.array([[0, 128, 252, 255]], np.uint8))
    assert list(mask_of(Picture(white, alpha)).tobytes()) == [0, 128, 255, 255]


@pytest.mark.parametrize("level", [0, 3])
def test_an_empty_mask_is_an_error(level: int) -> None:
    with pytest.raises(ImageError, match="empty"):
        mask_of(Picture(Image.new("RGB", (8, 8), (level, level, level))))


def test_a_region_inside_of_what_is_kept_is_an_error() -> None:
    style = Style(make_picture(64, 64), region=half(96, 80, True))
    with pytest.raises(ImageError, match="style 1 is left outside of what is kept"):
        pair_of((style, 1.0), keep=half(96, 80, True))


@pytest.mark.parametrize(("size", "other"), [((100, 80), False), ((101, 80), False), ((104, 80), True)])
def test_masks_of_another_aspect_are_noticed(size: tuple[int, int], other: bool) -> None:
    assert has_other_aspect(size, (1000, 800)) == other


def test_each_region_has_its_own_target(vgg: VGG19) -> None:
    """A picture of two styles side by side has no style error but that near the border."""
    styles = [make_picture(128, 128, seed=seed) for seed in (2, 3)]
    both = styles[0].copy()
    both.paste(styles[1].crop((64, 0, 128, 128)), (64, 0))
    targets = [
        style_grams(vgg, to_tensor(style)[None], DEFAULT, to_tensor(half(128, 128, left))[None])
        for style, left in zip(styles, (True, False), strict=True)
    ]
    grams = {name: torch.cat([target[name] for target in targets]) for name in DEFAULT.style}
    guides = torch.stack([to_tensor(half(128, 128, left)) for left in (True, False)], 1)
    image = to_tensor(both)[None]
    right = Objective(vgg, image, grams, DEFAULT, guides)(image).style.item()
    wrong = Objective(vgg, image, grams, DEFAULT, guides.flip(1))(image).style.item()
    assert right < 0.1 * wrong


def test_pairs_with_regions_in_one_batch_come_out_as_alone(stylizer: Stylizer) -> None:
    one, two = Style(make_picture(64, 64, seed=2)), Style(make_picture(64, 64, seed=3))
    pairs = [
        pair_of(
            (Style(one.image, half(96, 80, left)), 1.0),
            (Style(two.image, half(96, 80, not left)), 1.0),
            keep=half(80, 96, True).rotate(90, expand=True) if left else None,
            max_size=48,
        )
        for left in (True, False)
    ]
    assert pairs[0].group == pairs[1].group != pair_of((one, 1.0)).group
    together = stylizer.run(pairs)
    for pair, result in zip(pairs, together, strict=True):
        (alone,) = stylizer.run([pair])
        for ours, theirs in zip(result.evaluations[:5], alone.evaluations, strict=False):
            assert ours.losses.total == pytest.approx(theirs.losses.total, rel=1e-3)


@pytest.mark.parametrize("preserve_color", [False, True])
def test_what_is_kept_is_the_content_to_the_last_bit(stylizer: Stylizer, preserve_color: bool) -> None:
    content, keep = make_picture(96, 80, seed=1), Image.new("L", (96, 80), 0)
    keep.paste(255, (20, 20, 50, 60))
    keep.paste(128, (50, 20, 60, 60))
    result = stylizer.stylize(
        content, make_picture(64, 64, seed=2), epochs=1, keep=keep, preserve_color=preserve_color
    ).image
    before, after = (np.asarray(image, int) for image in (content, result))
    white, black = (np.asarray(keep) == level for level in (255, 0))
    assert (before == after)[white].all()
    assert np.abs(before - after)[black].mean() > 3


def test_where_a_part_is_kept_the_picture_is_the_one_that_was_searched_for(stylizer: Stylizer) -> None:
    pair = pair_of((Style(make_picture(64, 64, seed=2)), 1.0), keep=Image.new("L", (96, 80), 128))
    (result,) = stylizer.run([pair])
    searched = min(evaluation.losses.total for evaluation in result.evaluations)
    assert result.losses.total == pytest.approx(searched, rel=0.01)


def test_far_from_all_regions_the_content_stays(stylizer: Stylizer) -> None:
    content = make_picture(96, 80, seed=1)
    style = Style(make_picture(64, 64, seed=2), region=half(96, 80, True))
    result = stylizer.stylize(content, style, epochs=1).image
    change = np.abs(np.asarray(content, int) - np.asarray(result, int)).mean((0, 2))
    assert not change[48 + 16 :].any()
    assert change[:48].mean() > 10


def test_the_delivered_losses_are_those_of_the_regions(stylizer: Stylizer) -> None:
    styles = [Style(make_picture(64, 64, seed=seed), half(96, 80, seed == 2)) for seed in (2, 3)]
    pair = pair_of(*((style, 1.0) for style in styles))
    (result,) = stylizer.run([pair])
    terms = stylizer.targets.objective([pair], -1, exact=True)(to_tensor(result.image)[None])
    assert result.losses.style == pytest.approx(terms.style.item(), rel=1e-5)
    alone = [
        stylizer.targets.objective([pair_of((style, 1.0))], -1, exact=True)(to_tensor(result.image)[None])
        for style in styles
    ]
    assert result.losses.style == pytest.approx(sum(each.style.item() for each in alone), rel=1e-4)


def test_the_start_has_the_colours_of_each_style_in_its_region() -> None:
    red, blue = (Image.new("RGB", (64, 64), color) for color in ("red", "blue"))
    pair = pair_of((Style(red, half(96, 80, True)), 1.0), (Style(blue, half(96, 80, False)), 1.0))
    left, right = (pair.starts[1][:, :, part].mean((1, 2)) for part in (slice(40), slice(56, None)))
    assert left[0] > 0.9 > 0.1 > left[2]
    assert right[2] > 0.9 > 0.1 > right[0]


def test_only_the_meant_part_of_a_style_counts(vgg: VGG19) -> None:
    layers = Layers({}, {"relu1_1": 1.0, "relu3_1": 1.0})  # their receptive fields are narrow
    style = make_picture(96, 64, seed=2)
    other = style.copy()
    other.paste((255, 0, 0), (72, 0, 96, 64))
    part = to_tensor(half(96, 64, True))[None]
    one, two, whole = (
        style_grams(vgg, to_tensor(image)[None], layers, meant)
        for image, meant in ((style, part), (other, part), (other, None))
    )
    for name in layers.style:
        assert torch.allclose(one[name], two[name], rtol=1e-3, atol=1e-5)
        assert (whole[name] - one[name]).norm() > 0.1 * one[name].norm()
