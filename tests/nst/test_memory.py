"""How the memory at hand is divided: whole pictures where they fit, tiles where they do not."""

import re
from itertools import pairwise

import pytest
import torch

from nst import NSTError, Stylizer
from nst.memory import GB, Demand, Plan, least, pairs_at_once, plan, style_tile
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

FP32, BF16 = torch.float32, torch.bfloat16
CPU, GPU = torch.device("cpu"), torch.device("cuda")


def test_a_picture_that_fits_is_computed_as_a_whole() -> None:
    assert plan(Demand(1024**2), 4 * GB, CPU, FP32) == Plan(steps=20)
    assert plan(Demand(4096**2), 100 * GB, GPU, BF16) == Plan(steps=10)


@pytest.mark.parametrize(
    ("side", "memory", "device", "dtype"),
    [(1024, 2, CPU, FP32), (4096, 5, CPU, FP32), (8192, 24, GPU, BF16)],
)
def test_a_picture_that_does_not_fit_is_computed_in_tiles(
    side: int, memory: int, device: torch.device, dtype: torch.dtype
) -> None:
    found = plan(Demand(side**2), memory * GB, device, dtype)
    assert found.tile and 512**2 <= found.tile < side**2


def test_more_memory_never_gives_smaller_tiles_with_as_many_steps() -> None:
    found = [plan(Demand(4096**2), memory * GB, GPU, FP32) for memory in range(5, 40)]
    assert [each.steps for each in found] == sorted(each.steps for each in found)
    for one, other in pairwise(found):
        if one.tile and other.tile and one.steps == other.steps:
            assert other.tile >= one.tile


def test_the_least_memory_is_enough_and_less_is_refused() -> None:
    needed = least(Demand(4096**2), CPU, FP32)
    assert plan(Demand(4096**2), needed, CPU, FP32).steps == 3
    with pytest.raises(NSTError, match=r"a picture of 17 megapixels needs .* GB of memory, and .* are there"):
        plan(Demand(4096**2), needed - 10**7, CPU, FP32)


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("part", [False, True])
def test_a_style_that_does_not_fit_is_refused(device: torch.device, part: bool) -> None:
    fitting, larger = (Demand(1024**2, style_pixels=side**2, parts=part) for side in (4096, 16_384))
    assert plan(fitting, 4 * GB, device, FP32)
    expected = (
        r"a style of 268 megapixels needs [\d.]+ GB of memory, and 3\.0 GB are there; "
        r"lower style_scale or max_size, or use a machine with more memory"
    )
    with pytest.raises(NSTError, match=expected):
        plan(larger, 3 * GB, device, FP32)


def test_the_style_of_a_pair_counts_in_its_largest_size() -> None:
    small, large = (prepared(style_scale=scale) for scale in (0.5, 3))
    assert Demand.of(large) == Demand(48 * 40, style_pixels=144**2)
    assert Demand.of(small) == Demand(48 * 40, style_pixels=24**2)
    assert Demand.of(prepared(size=(400, 300), style_scale=2), 0).style_pixels == 200**2


@pytest.mark.parametrize(("layer", "bytes_a_pixel"), [("relu1_2", 256), ("relu2_1", 128), ("relu5_4", 8)])
def test_the_features_of_the_content_count_at_each_of_its_layers(layer: str, bytes_a_pixel: int) -> None:
    """They are kept for the whole picture. Those of relu4_1, the default, take 32 bytes a pixel."""
    pixels = 8192**2
    default, other, both = (
        Demand(pixels, content_layers=layers) for layers in (("relu4_1",), (layer,), ("relu4_1", layer))
    )
    assert least(default, CPU, FP32) == least(Demand(pixels), CPU, FP32)
    assert least(other, CPU, FP32) - least(default, CPU, FP32) == pixels * (bytes_a_pixel - 32)
    assert least(both, CPU, FP32) - least(default, CPU, FP32) == pixels * bytes_a_pixel


def test_a_picture_is_refused_if_the_features_of_its_content_do_not_fit() -> None:
    plan(Demand(8192**2), 20 * GB, CPU, FP32)
    with pytest.raises(NSTError, match="a picture of 67 megapixels needs"):
        plan(Demand(8192**2, content_layers=("relu1_2",)), 20 * GB, CPU, FP32)


def test_the_content_layers_of_a_pair_count() -> None:
    assert Demand.of(prepared(**SHALLOW)).content_layers == ("relu1_1",)


@pytest.mark.parametrize("steps", [20, 10, 5, 3])
def test_no_tile_is_as_large_as_the_picture(steps: int) -> None:
    """A picture that fits with fewer steps is computed as a whole."""
    demand = Demand(1000 * 500)
    memory = demand.pixels * (180 + 24 * steps + 1500)
    assert plan(demand, memory, GPU, BF16) == Plan(steps)
    less = plan(demand, memory - 1, GPU, BF16)
    assert less.steps < steps or (less.tile and less.tile < demand.pixels)


def test_a_batch_fits_into_the_memory_by_the_plan_of_one_pair() -> None:
    demand = Demand(1024**2, regions=2, content_layers=("relu1_1",))
    found = plan(demand, 64 * GB, GPU, BF16)
    fitting = pairs_at_once(demand, found, 64 * GB, GPU, BF16)
    assert 20 < fitting < pairs_at_once(Demand(1024**2), found, 64 * GB, GPU, BF16) < 30
    assert pairs_at_once(demand, found, GB, GPU, BF16) == 1
    assert pairs_at_once(demand, Plan(steps=3, tile=512**2), 64 * GB, GPU, BF16) == 1


@pytest.mark.parametrize(
    ("free", "given", "expected"), [(64, 10, 1), (64, 20, 2), (20, 64, 2), (5, 64, 1), (64, 64, 7)]
)
def test_the_memory_that_is_given_and_what_is_free_both_limit_a_batch(
    free: int, given: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU that is not there, with pairs of 9 GB each."""
    monkeypatch.setattr("nst.stylizer.usable_of_gpu", lambda device: free * GB)
    stylizer, pair = Stylizer(device="cpu", dtype="bf16"), prepared(size=(2048, 2048))
    stylizer.targets.memory.bytes = given * GB
    stylizer.device = stylizer.targets.device = GPU
    assert stylizer.capacity(pair) == expected


@pytest.mark.parametrize("part", [False, True])
def test_a_style_and_its_tile_take_no_more_than_the_memory(part: bool) -> None:
    assert style_tile(1000**2, part, 3 * GB, CPU, FP32) is None
    tile = style_tile(8000**2, part, 8 * GB, CPU, FP32)
    assert tile and 512**2 < tile < 4_000_000
    assert 8000**2 * (56 if part else 20) + tile * 2700 <= 8 * GB
    smaller = style_tile(10**10, part, 8 * GB, CPU, FP32)
    assert smaller == 512**2


def test_a_small_picture_needs_what_it_takes_as_a_whole() -> None:
    small = Demand(400 * 300, style_pixels=400 * 300)
    needed = least(small, CPU, FP32)
    assert needed < 0.5 * GB
    assert plan(small, needed, CPU, FP32) == Plan(steps=3)
    expected = (
        "a picture of 0.1 megapixels needs 0.4 GB of memory, and --memory 2 leaves 0.3 GB; "
        "lower max_size, or raise --memory"
    )
    with pytest.raises(NSTError, match=re.escape(expected)):
        plan(small, needed - 1, CPU, FP32, given=2)


def test_a_pair_in_tiles_is_searched_as_the_whole_pair(
    stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rounding makes the searches diverge later. They end with about equal losses."""
    pair = prepared(size=(192, 128), **SHALLOW)
    (whole,) = stylizer.run([pair])
    monkeypatch.setattr("nst.targets.plan", lambda *arguments: Plan(steps=20, tile=9_000))
    assert stylizer.plan(pair).tile
    (tiled,) = stylizer.run([pair])
    first, expected = ([e.losses.total for e in result.evaluations[:8]] for result in (tiled, whole))
    assert first == pytest.approx(expected, rel=3e-3)
    assert tiled.losses.total == pytest.approx(whole.losses.total, rel=0.04)


def test_the_expected_time_grows_with_the_epochs(stylizer: Stylizer) -> None:
    short, long = (stylizer.expected_seconds(prepared(epochs=epochs)) for epochs in (1, 50))
    assert 0 < short < long
