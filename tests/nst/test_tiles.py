import math

import pytest
import torch
from torch import Tensor

from nst import images
from nst.objective import Layers, Objective, style_grams
from nst.parameters import LAYERS, Parameters, Pooling
from nst.tiles import Tiling, reach
from nst.vgg import VGG19
from nst.weights import Weights
from tests.conftest import make_picture
from tests.nst.test_objective import seeded

DEFAULT = Layers(Parameters().content_layers, Parameters().style_layers)
EACH = Layers(dict.fromkeys(LAYERS[-3:], 1.0), dict.fromkeys(LAYERS, 1.0))


def noise(seed: int, *shape: int) -> Tensor:
    return torch.rand(shape, generator=seeded(seed))


def test_the_tiles_of_a_picture_are_next_to_each_other_and_small_enough() -> None:
    for height, width, most in ((4096, 2731, 10**6), (100, 3000, 50_000), (497, 512, 200_000)):
        for layers in (["relu1_1"], ["relu4_1"], ["relu5_1", "relu1_1"]):
            tiles = Tiling(height, width, most).tiles(layers)
            seen = torch.zeros(height, width, dtype=torch.int32)
            for tile in tiles:
                seen[tile.rows.start : tile.rows.end, tile.columns.start : tile.columns.end] += 1
                assert seen[tile.window].numel() <= most
                assert all(
                    each.start % 16 == each.window_start % 16 == 0 for each in (tile.rows, tile.columns)
                )
            assert (seen == 1).all()


def test_a_tile_is_never_smaller_than_a_position_of_the_deepest_layer() -> None:
    tiles = Tiling(40, 70, 1).tiles(["relu1_1"])
    assert {tile.rows.start for tile in tiles} == {0, 16}
    assert {tile.columns.start for tile in tiles} == {0, 16, 32, 48}


@pytest.mark.parametrize("size", [(270, 276), (31, 47), (16, 511)])
@pytest.mark.parametrize("most", [1, 40_000])
def test_each_tile_has_a_position_of_the_deepest_layer(size: tuple[int, int], most: int) -> None:
    for tile in Tiling(*size, most).tiles(["relu5_1"]):
        assert tile.share("relu5_1") > 0


def test_long_tiles_have_fewer_margins_than_square_ones() -> None:
    tiles = Tiling(1024, 1024, 1024 * 1024 - 1).tiles(["relu4_1"])
    assert [tile.columns.start for tile in tiles] in ([0, 0], [0, 512])


@pytest.mark.parametrize("layer", LAYERS)
def test_the_margin_has_all_that_a_layer_sees(layer: str, vgg: VGG19) -> None:
    """A pixel outside of the window does not change the features of the tile."""
    image, size = noise(0, 1, 3, 16, 2 * (reach(layer) + 16)), reach(layer) + 16
    (before,) = (tap.features for tap in vgg(image, [layer]))
    seen = before.shape[3] // 2
    image[:, :, :, size - reach(layer) - 1] = 0
    (after,) = (tap.features for tap in vgg(image, [layer]))
    assert torch.equal(before[..., seen:], after[..., seen:])


def gradients(objective: Objective, image: Tensor) -> list[Tensor]:
    """The content and the style term, and the gradient of each with respect to the picture."""
    image = image.clone().requires_grad_(True)
    terms = objective(image)
    found = [terms.content, terms.style]
    return [*found, *(torch.autograd.grad(term.sum(), image, retain_graph=True)[0] for term in found)]


def picture(seed: int, height: int, width: int, dtype: torch.dtype) -> Tensor:
    """Soft spots and noise, `(1, 3, H, W)`."""
    spots = images.to_tensor(make_picture(width, height, seed))[None]
    return (spots + 0.1 * noise(seed, *spots.shape)).clamp(0, 1).to(dtype)


def objectives(
    vgg: VGG19, layers: Layers, size: tuple[int, int], most: int, regions: bool
) -> tuple[Objective, Objective]:
    """One objective of the whole picture and one in tiles; with regions, two that fade into each other."""
    content, style = (picture(seed, *size, vgg.dtype) for seed in (1, 2))
    guides = strengths = None
    grams = style_grams(vgg, style, layers)
    if regions:
        ramp = torch.linspace(0, 1, size[1]).expand(size)
        guides, strengths = torch.stack([ramp, 1 - ramp])[None].to(vgg.dtype), torch.tensor([1.0, 0.5])
        grams = {name: gram.expand(2, -1, -1) for name, gram in grams.items()}
    whole, tiled = (Objective(vgg, content, grams, layers, guides, strengths, n) for n in (None, most))
    return whole, tiled


def check(whole: Objective, tiled: Objective, image: Tensor, tolerance: float) -> None:
    for ours, theirs in zip(gradients(tiled, image), gradients(whole, image), strict=True):
        assert (ours - theirs).norm() < tolerance * theirs.norm()


LONG = [
    pytest.param((497, 512), most, id=f"{most}", marks=pytest.mark.long) for most in (120_000, 90_000, 70_000)
]


@pytest.mark.parametrize(("size", "most"), [((177, 240), 36_000), *LONG])
@pytest.mark.parametrize("regions", [False, True])
def test_tiles_have_the_loss_and_the_gradient_of_the_whole_picture(
    size: tuple[int, int], most: int, regions: bool, vgg: VGG19
) -> None:
    assert len(Tiling(*size, most).tiles(DEFAULT.style)) >= 4
    whole, tiled = objectives(vgg, DEFAULT, size, most, regions)
    check(whole, tiled, picture(0, *size, torch.float32), 1e-5)


@pytest.mark.parametrize(("pooling", "regions"), [("max", False), ("avg", True)])
def test_tiles_of_all_layers_are_exact_where_rounding_does_not_decide(
    pooling: Pooling, regions: bool, weights: Weights
) -> None:
    """In fp64, because in fp32 rounding sometimes decides whether a ReLU is open."""
    exact = VGG19(weights, torch.float64)
    layers = Layers(EACH.content, EACH.style, pooling)
    most = 33 * 400
    assert len(Tiling(33, 500, most).tiles(layers.style)) > 1
    whole, tiled = objectives(exact, layers, (33, 500), most, regions)
    check(whole, tiled, picture(0, 33, 500, torch.float64), 1e-6)


def test_the_targets_of_a_style_in_tiles_are_those_of_the_whole_style(vgg: VGG19) -> None:
    style, part = picture(2, 300, 200, torch.float32), torch.zeros(1, 1, 300, 200)
    part[..., 40:230, 20:] = 1
    for chosen in (None, part):
        whole, tiled = (style_grams(vgg, style, DEFAULT, chosen, most) for most in (None, 40_000))
        for name in whole:
            assert (tiled[name] - whole[name]).norm() < 1e-5 * whole[name].norm()


class StopTestError(Exception):
    """Raised after a tile."""


class Reports:
    """Counts the tiles that are reported, and raises `StopTestError` after the last one that it allows."""

    def __init__(self, allowed: float = math.inf) -> None:
        self.count, self._allowed = 0, allowed

    def __call__(self) -> None:
        self.count += 1
        if self.count == self._allowed:
            raise StopTestError


SHALLOW_LAYERS = Layers({"relu1_1": 1.0}, {"relu1_2": 1.0})


def evaluate(vgg: VGG19, most: int | None, reports: Reports) -> None:
    """Find the targets of a picture and a style, and the gradient of the content term."""
    image = picture(0, 96, 128, torch.float32)
    grams = style_grams(vgg, image, SHALLOW_LAYERS, most_pixels=most, on_tile=reports)
    objective = Objective(vgg, image, grams, SHALLOW_LAYERS, most_pixels=most, on_tile=reports)
    terms = objective(image.requires_grad_(True))
    torch.autograd.grad((terms.content + terms.style).sum(), image)


def test_each_tile_of_each_pass_is_reported(vgg: VGG19) -> None:
    """Those of the style, of the content, and of both passes of an evaluation."""
    most, reports = 6000, Reports()
    one, two = (len(Tiling(96, 128, most).tiles([layer])) for layer in ("relu1_1", "relu1_2"))
    assert one > 1 and two > 1
    evaluate(vgg, most, reports)
    assert reports.count == two + one + 2 * two


def test_nothing_is_reported_of_a_whole_picture(vgg: VGG19) -> None:
    reports = Reports()
    evaluate(vgg, None, reports)
    assert reports.count == 0


def test_the_computation_ends_at_any_tile_whose_report_raises_an_exception(vgg: VGG19) -> None:
    every = Reports()
    evaluate(vgg, 6000, every)
    for number in range(1, every.count + 1):
        reports = Reports(number)
        with pytest.raises(StopTestError):
            evaluate(vgg, 6000, reports)
        assert reports.count == number
