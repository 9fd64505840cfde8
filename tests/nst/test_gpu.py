"""What a GPU computes is what a CPU computes. All tests of this file need a GPU."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from nst import PreparedPair, PreviewCallbacks, Style, Stylizer, cudnn, gpu_pooling
from nst.device import is_out_of_memory
from nst.memory import GB
from nst.objective import Objective
from tests.conftest import make_picture
from tests.nst.pairs import prepared
from tests.nst.test_pooling import spots
from tests.nst.test_regions import half, pair_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

STEPS = 20


@pytest.fixture(scope="module")
def exact() -> Stylizer:
    return Stylizer(device="cuda", dtype="fp32")


@pytest.fixture(scope="module")
def usual() -> Stylizer:
    return Stylizer(device="cuda")


def evaluated(stylizer: Stylizer, pair: PreparedPair, most_pixels: int | None = None) -> list[Tensor]:
    """The content and the style term of a picture like the content, and the gradient of each.

    `most_pixels` is the number of pixels of a tile.
    """
    usual, contents = stylizer.targets.objective([pair], -1), stylizer.targets.contents([pair], -1)
    objective = Objective(usual.vgg, contents, usual.grams, usual.layers, most_pixels=most_pixels)
    noise = torch.rand(contents.shape, generator=torch.Generator().manual_seed(0))
    image = (0.9 * contents + 0.1 * noise.to(contents.device)).requires_grad_()
    terms = objective(image)
    found = [terms.content, terms.style]
    found += [torch.autograd.grad(term.sum(), image, retain_graph=True)[0] for term in found]
    return [each.detach().cpu() for each in found]


def furthest(found: list[Tensor], expected: list[Tensor]) -> float:
    """The largest relative error of a tensor."""
    pairs = zip(found, expected, strict=True)
    return max(float((one - other).norm() / other.norm()) for one, other in pairs)


def test_terms_and_gradients_are_those_of_the_cpu(exact: Stylizer, stylizer: Stylizer) -> None:
    pair = prepared(size=(160, 130))
    assert furthest(evaluated(exact, pair), evaluated(stylizer, pair)) < 1e-3


def test_terms_and_gradients_in_bf16_are_close_to_those_of_the_cpu(
    usual: Stylizer, stylizer: Stylizer
) -> None:
    pair = prepared(size=(160, 130))
    assert usual.dtype == torch.bfloat16
    assert furthest(evaluated(usual, pair), evaluated(stylizer, pair)) < 0.1


@pytest.mark.parametrize("pool", [False, True])
def test_a_convolution_with_its_relu_is_that_of_pytorch(pool: bool) -> None:
    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int) -> Tensor:
        found = torch.randn(shape, dtype=torch.bfloat16, device="cuda", generator=generator)
        return found.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else found

    x, kernel, bias = random(2, 64, 33, 46).requires_grad_(), random(128, 64, 3, 3), random(128)
    assert cudnn.suits(x, kernel)
    # cuDNN is given its result as an input, too, with the factor 0.
    torch.full((2, 128, 33, 46), torch.nan, dtype=torch.bfloat16, device="cuda")
    found = cudnn.convolution_relu(x, kernel, bias, pool)
    expected = F.relu(F.conv2d(x, kernel, bias, padding=1))
    expected = F.max_pool2d(expected, 2) if pool else expected
    assert torch.allclose(found, expected, rtol=0.02, atol=0.1)
    weights = torch.randn_like(found)
    (one,), (other,) = (torch.autograd.grad((each * weights).sum(), x) for each in (found, expected))
    assert (one - other).norm() < 0.05 * other.norm()


@pytest.mark.parametrize("ours", [True, False], ids=["own kernels", "kernels of PyTorch"])
@pytest.mark.parametrize("shape", [(2, 64, 33, 47), (1, 128, 40, 66), (3, 8, 2, 3)])
def test_maxima_and_gradient_are_exactly_those_of_pytorch(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], ours: bool
) -> None:
    if not ours:
        monkeypatch.setattr(gpu_pooling, "_kernels", lambda _: {})
    x = spots(*shape, dtype=torch.bfloat16).detach().cuda()
    x[0, 3, 1, 1] = torch.nan
    maxima, places = gpu_pooling.pooled(x)
    assert (places.dtype == torch.int16) == ours
    x.requires_grad_()
    expected = F.max_pool2d(x, 2)
    assert torch.equal(maxima.view(torch.int16), expected.view(torch.int16))
    weights = torch.randn_like(maxima)
    (gradient,) = torch.autograd.grad(expected, x, weights)
    assert torch.equal(gpu_pooling.unpooled(weights, places, *shape[2:]), gradient)


def test_tiles_are_exact(exact: Stylizer) -> None:
    pair = prepared(size=(400, 330))
    assert furthest(evaluated(exact, pair, 90_000), evaluated(exact, pair)) < 1e-4


def test_results_are_as_good_as_those_of_the_cpu(usual: Stylizer, stylizer: Stylizer) -> None:
    pair = prepared(size=(96, 80), epochs=3)
    found, expected = (each.run([pair])[0].losses.total for each in (usual, stylizer))
    assert found < 1.05 * expected


def test_a_pair_in_a_batch_has_the_result_that_it_has_alone(usual: Stylizer) -> None:
    pairs = [prepared(seed, size=(96, 80), epochs=2) for seed in (1, 2, 3)]
    together = [result.losses.total for result in usual.run(pairs)]
    alone = [usual.run([pair])[0].losses.total for pair in pairs]
    assert together == pytest.approx(alone, rel=0.1)


def test_regions_keep_snapshots_and_previews(usual: Stylizer) -> None:
    left, right = (half(96, 80, left) for left in (True, False))
    styles = [(Style(make_picture(64, 64, seed), region), 1.0) for seed, region in ((2, left), (3, right))]
    keep = Image.new("L", (96, 80))
    keep.paste(255, (0, 0, 24, 80))
    pair, shown = pair_of(*styles, keep=keep, snapshots=2), list[int]()
    previews = PreviewCallbacks(lambda: [0], lambda index, picture: shown.append(index), 64)
    (result,) = usual.run([pair], previews=previews)
    assert len(result.evaluations) == STEPS
    assert [each.step for each in result.snapshots][-1] == STEPS
    assert shown
    kept = (0, 0, 20, 80)
    assert result.image.crop(kept).tobytes() == pair.contents[-1].crop(kept).tobytes()


@pytest.mark.parametrize(("size", "memory", "in_tiles"), [(1024, 3.3, False), (1536, 2.3, True)])
def test_a_picture_takes_no_more_memory_than_it_may(size: int, memory: float, in_tiles: bool) -> None:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    others = torch.cuda.memory_reserved()
    stylizer, pair = Stylizer(device="cuda", memory=memory), prepared(size=(size, size))
    assert (stylizer.plan(pair).tile is not None) == in_tiles
    for _ in range(2):  # the second time, there is memory that graphs have kept
        stylizer.run([pair])
    assert torch.cuda.max_memory_reserved() - others < memory * GB


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[torch.cuda.CUDAGraph]:
    """The graphs that have run, in their order."""
    found, replay = list[torch.cuda.CUDAGraph](), torch.cuda.CUDAGraph.replay

    def counted(graph: torch.cuda.CUDAGraph) -> None:
        found.append(graph)
        replay(graph)

    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counted)
    return found


@pytest.mark.parametrize("share", [0.1, 0.0], ids=["extrapolated", "then evaluated at every step"])
def test_a_cuda_graph_computes_what_single_operations_compute(
    usual: Stylizer,
    monkeypatch: pytest.MonkeyPatch,
    replays: list[torch.cuda.CUDAGraph],
    share: float,
) -> None:
    monkeypatch.setattr("nst.guide._REFRESH_INTERVAL", 5)
    monkeypatch.setattr("nst.guide._SMALL_SHARE", share)
    # Of two scales, and two batches: the second one uses the memory of the first one's graphs.
    pairs = [prepared(seed, size=(224, 160), epochs=3) for seed in (1, 2)]
    assert len(pairs[0].contents) == 2
    usual.run(pairs)
    replays.clear()
    found = usual.run(pairs)
    assert len(replays) > 2 * STEPS
    monkeypatch.setattr("nst.targets.LARGEST", 0)
    replays.clear()
    expected = usual.run(pairs)
    assert not replays
    for one, other in zip(found, expected, strict=True):
        assert len(one.evaluations) == len(other.evaluations)
        assert one.losses.total == pytest.approx(other.losses.total, rel=0.05)
        for mine, theirs in list(zip(one.evaluations, other.evaluations, strict=True))[:10]:
            assert mine.losses.total == pytest.approx(theirs.losses.total, rel=0.01)


def test_an_exhausted_gpu_is_recognised() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15, dtype=torch.uint8, device="cuda")
    assert is_out_of_memory(raised.value)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
def test_the_host_does_not_wait_for_the_gpu_inside_a_scale(usual: Stylizer) -> None:
    usual.run([prepared(1)])  # what is computed only once may wait for the GPU

    def watch(_: int, evaluation: Any) -> None:
        last = evaluation.step == STEPS
        torch.cuda.set_sync_debug_mode("default" if last else "error")

    try:
        usual.run([prepared(3)], watch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
