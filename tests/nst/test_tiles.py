from collections.abc import Mapping
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from nst.objective import Layers, Objective, style_grams
from nst.parameters import LAYERS, Parameters, Pooling
from nst.tiles import Tile, Tiling, reach, summed
from nst.vgg import VGG19
from tests.nst.test_objective import seeded

DEFAULT = Layers(Parameters().content_layers, Parameters().style_layers)
EACH = Layers({name: 1.0 for name in LAYERS[-3:]}, {name: 1.0 for name in LAYERS})
HEIGHT, WIDTH = 497, 512  # the last tile has a row of positions that is cut off by the poolings


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


def test_long_tiles_have_fewer_margins_than_square_ones() -> None:
    tiles = Tiling(1024, 1024, 1024 * 1024 - 1).tiles(["relu4_1"])
    assert [tile.columns.start for tile in tiles] in ([0, 0], [0, 512])


@pytest.mark.parametrize("layer", LAYERS)
def test_the_margin_has_all_that_a_layer_sees(layer: str, vgg: VGG19) -> None:
    """A pixel outside of the window does not change the features of the tile."""
    image, size = noise(0, 1, 3, 16, 2 * (reach(layer) + 16)), reach(layer) + 16
    before = dict(vgg(image, [layer]))[layer]
    seen = before.shape[3] // 2
    image[:, :, :, size - reach(layer) - 1] = 0
    after = dict(vgg(image, [layer]))[layer]
    assert torch.equal(before[..., seen:], after[..., seen:])


def gradient(objective: Objective, image: Tensor) -> tuple[Tensor, Mapping[str, Tensor]]:
    """The terms, and the gradient of each with respect to the picture."""
    image = image.clone().requires_grad_(True)
    terms = objective(image)
    found = {
        name: torch.autograd.grad(getattr(terms, name).sum(), image, retain_graph=True)[0]
        for name in ("content", "style")
    }
    return torch.stack([terms.content, terms.style]), found


@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize(
    ("layers", "most", "count"),
    [(DEFAULT, 180_000, 4), (DEFAULT, 110_000, 9), (EACH, 150_000, 16), (EACH, 240_000, 4)],
)
def test_tiles_have_the_loss_and_the_gradient_of_the_whole_picture(
    layers: Layers, most: int, count: int, pooling: Pooling, vgg: VGG19
) -> None:
    layers = Layers(layers.content, layers.style, pooling)
    image, content, style = (noise(seed, 1, 3, HEIGHT, WIDTH) for seed in range(3))
    print(len(Tiling(HEIGHT, WIDTH, most).tiles({*layers.content, *layers.style})))
    grams = style_grams(vgg, style, layers)
    in_tiles = style_grams(vgg, style, layers, most_pixels=most)
    for name, whole in grams.items():
        torch.testing.assert_close(in_tiles[name], whole, rtol=1e-4, atol=1e-5 * whole.max().item())
    whole, exact = gradient(Objective(vgg, content, grams, layers), image)
    tiled, found = gradient(Objective(vgg, content, grams, layers, most_pixels=most), image)
    torch.testing.assert_close(tiled, whole, rtol=1e-5, atol=0)
    for name in exact:
        error = (found[name] - exact[name]).norm() / exact[name].norm()
        print(name, error)
        assert error < 1e-5
