import math

import pytest
import torch
from PIL import Image, ImageStat

from nst import ImageError, NSTError, Parameters, PreparedPair, Style, Stylizer, images
from nst.objective import Layers, Objective, style_grams
from nst.result import Evaluation
from nst.transfer import split
from nst.vgg import VGG19
from tests.conftest import make_picture


def prepared(
    seed: int = 1, style: int = 2, size: tuple[int, int] = (48, 40), **parameters: object
) -> PreparedPair:
    chosen = Parameters.model_validate({"epochs": 1, "max_size": max(size), **parameters})
    content, styles = make_picture(*size, seed=seed), [(Style(make_picture(64, 64, seed=style)), 1.0)]
    return PreparedPair.prepare(images.Picture(content), styles, chosen)


def mean_levels(picture: Image.Image) -> list[float]:
    return ImageStat.Stat(picture).mean


def test_five_lines_stylise_two_pictures(content: Image.Image, style: Image.Image) -> None:
    result = Stylizer(device="cpu").stylize(content, style, epochs=1, max_size=32)
    assert result.image.size == (32, 27)
    first, last = result.evaluations[0].losses.total, result.losses.total
    assert last < 0.2 * first


def test_the_delivered_loss_is_that_of_the_saved_pixels(
    stylizer: Stylizer, vgg: VGG19, content: Image.Image, style: Image.Image
) -> None:
    result = stylizer.stylize(content, style, epochs=1, max_size=48, tv_weight=3.0)
    layers = Layers(Parameters().content_layers, Parameters().style_layers)
    to_tensor = images.to_tensor
    size = images.scaled(style.size, 48)
    resized = style.resize(size, Image.Resampling.LANCZOS)
    grams = style_grams(vgg, to_tensor(resized)[None], layers)
    with torch.no_grad():
        terms = Objective(vgg, to_tensor(content)[None], grams, layers)(to_tensor(result.image)[None])
    total = terms.content + 1e6 * terms.style + 3 * terms.tv
    assert result.losses.total == pytest.approx(total.item(), rel=1e-4)


def test_a_pair_in_a_batch_comes_out_as_it_does_alone(stylizer: Stylizer) -> None:
    pairs = [
        prepared(1, style=5, size=(192, 32), epochs=2, style_weight=1e4),
        prepared(3, style=6, size=(192, 32), epochs=2, style_weight=1e3),
        prepared(4, style=7, size=(192, 32), epochs=2, style_weight=1e4, tv_weight=100.0),
    ]
    assert len(pairs[0].contents) == 2
    together = stylizer.run(pairs)
    for pair, result in zip(pairs, together, strict=True):
        (alone,) = stylizer.run([pair])
        first, expected = ([e.losses.total for e in r.evaluations[:12]] for r in (result, alone))
        assert first == pytest.approx(expected, rel=3e-3)
        # Later on, the last bits of sums decide which of many ways is gone: they end equally far, not alike.
        assert result.losses.total == pytest.approx(alone.losses.total, rel=0.04)


def test_every_evaluation_is_told_in_order(stylizer: Stylizer) -> None:
    told: list[tuple[int, Evaluation]] = []
    results = stylizer.run([prepared(1), prepared(3)], lambda i, e: told.append((i, e)))
    for index, result in enumerate(results):
        mine = [e for i, e in told if i == index]
        assert mine == result.evaluations
        assert [e.step for e in mine] == list(range(1, 21))
        assert all(e.steps == 20 and e.scale == 48 for e in mine)
        losses = mine[-1].losses
        assert losses.total == pytest.approx(losses.content + 1e6 * losses.style, rel=1e-4)


def test_what_needs_no_step_stays_as_it_is(stylizer: Stylizer) -> None:
    content = Image.new("RGB", (48, 48), (30, 160, 60))
    result = stylizer.stylize(content, content, epochs=1, content_weight=0, style_weight=0, tv_weight=1)
    assert result.losses.total == 0
    assert all(math.isfinite(e.losses.total) for e in result.evaluations)


def test_what_the_callback_raises_ends_the_run(stylizer: Stylizer) -> None:
    told = []

    def stop(index: int, evaluation: Evaluation) -> None:
        told.append(evaluation)
        raise KeyError("enough")

    with pytest.raises(KeyError):
        stylizer.run([prepared()], stop)
    assert len(told) == 1


def test_large_pictures_go_from_coarse_to_fine(stylizer: Stylizer) -> None:
    content = make_picture(400, 100, seed=1)
    pair = PreparedPair.prepare(images.Picture(content), [(Style(make_picture()), 1.0)], Parameters(epochs=1))
    (result,) = stylizer.run([pair])
    assert {e.scale for e in result.evaluations} == {100, 200, 400}
    assert result.image.size == (400, 100)


@pytest.mark.parametrize(("iterations", "levels"), [(20, 1), (20, 2), (200, 3), (20, 7)])
def test_iterations_are_split_completely(iterations: int, levels: int) -> None:
    shares = split(iterations, levels)
    assert len(shares) == levels
    assert sum(shares) == iterations
    assert min(shares) >= 1


def test_pictures_are_never_enlarged(stylizer: Stylizer) -> None:
    (result,) = stylizer.run([prepared(max_size=4000)])
    assert result.image.size == make_picture().size


def test_a_random_start_follows_its_seed(stylizer: Stylizer) -> None:
    one, same, other = (stylizer.run([prepared(init="random", seed=seed)])[0].image for seed in (7, 7, 8))
    assert one.tobytes() == same.tobytes()
    assert one.tobytes() != other.tobytes()


def test_a_strong_style_starts_from_its_colours_and_a_weak_one_from_the_content(stylizer: Stylizer) -> None:
    content = Image.eval(make_picture(seed=1), lambda level: 90 + level // 8)
    style = make_picture(64, 64, seed=2)
    strong, weak = (
        stylizer.stylize(content, style, epochs=1, style_weight=weight).evaluations[0].losses
        for weight in (1e6, 1e-6)
    )
    assert weak.content < 1e-6 < strong.content
    assert strong.style < weak.style


def test_total_variation_smooths(stylizer: Stylizer) -> None:
    rough, smooth = (stylizer.run([prepared(tv_weight=w)])[0] for w in (0.0, 1e8))
    assert smooth.losses.tv < 0.5 * rough.losses.tv


def test_two_styles_pull_both_ways(stylizer: Stylizer, content: Image.Image) -> None:
    red, blue = (Image.new("RGB", (64, 64), c) for c in ((200, 40, 40), (40, 40, 200)))
    means = {}
    for share in (0.1, 0.9):
        styles = [(red, share), (blue, 1 - share)]
        picture = stylizer.stylize(content, styles, epochs=2, max_size=32).image
        means[share] = mean_levels(picture)
    assert means[0.9][0] > means[0.1][0] + 20
    assert means[0.9][2] < means[0.1][2] - 20


def test_colours_can_be_kept(stylizer: Stylizer, style: Image.Image) -> None:
    content = Image.new("RGB", (48, 48), (30, 160, 60))
    content.paste((40, 130, 80), (0, 0, 24, 48))
    picture = stylizer.stylize(content, style, epochs=1, preserve_color=True).image
    chroma = [mean_levels(p.convert("YCbCr")) for p in (content, picture)]
    assert chroma[0][1:] == pytest.approx(chroma[1][1:], abs=4)


def test_layers_may_be_chosen(stylizer: Stylizer) -> None:
    pair = prepared(content_layers={"relu2_1": 1.0}, style_layers={"conv1_1": 2.0, "relu2_1": 1.0})
    assert list(pair.parameters.style_layers) == ["relu1_1", "relu2_1"]
    (result,) = stylizer.run([pair])
    assert result.losses.total < result.evaluations[0].losses.total


def test_a_style_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stylizer, passes = Stylizer(device="cpu", dtype="fp32"), []
    forward = VGG19.forward

    def counted(self: VGG19, image: torch.Tensor, *rest: object) -> object:
        passes.append(torch.is_grad_enabled())
        return forward(self, image, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(VGG19, "forward", counted)
    stylizer.run([prepared(1)])
    first = len(passes)
    stylizer.run([prepared(3)])
    # Twenty evaluations, two starts, the content's targets and the delivered loss; the style's only once.
    assert passes.count(True) == 40
    assert len(passes) - first == first - 1 == 24


@pytest.mark.parametrize("size", [(1, 1), (15, 200), (3000, 20)])
def test_pictures_too_small_for_the_network_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="each side needs 16 pixels"):
        PreparedPair.prepare(
            images.Picture(Image.new("RGB", size)), [(Style(make_picture()), 1.0)], Parameters(max_size=512)
        )


def test_a_style_is_no_way_from_itself_in_any_precision() -> None:
    picture = make_picture(64, 64, seed=2)
    pair = PreparedPair.prepare(images.Picture(picture), [(Style(picture), 1.0)], Parameters(max_size=64))
    for dtype in ("fp32", "bf16"):
        stylizer = Stylizer(device="cpu", dtype=dtype)
        for exact in (False, True):
            objective = stylizer.objective([pair], 0, exact)
            assert objective(images.to_tensor(picture)[None]).style.item() == pytest.approx(0, abs=1e-15)


def test_bf16_features_end_near_where_fp32_does(stylizer: Stylizer) -> None:
    pair = prepared()
    (exact,) = stylizer.run([pair])
    (fast,) = Stylizer(device="cpu", dtype="bf16").run([pair])
    assert fast.losses.total == pytest.approx(exact.losses.total, rel=0.1)


def test_a_scale_ends_when_its_loss_hardly_falls_any_more(stylizer: Stylizer) -> None:
    steps = {}
    for tolerance in (0.0, 0.5, 0.999):
        (result,) = stylizer.run([prepared(epochs=4, tolerance=tolerance)])
        steps[tolerance] = len(result.evaluations)
        assert [e.step for e in result.evaluations] == list(range(1, len(result.evaluations) + 1))
    assert steps[0.0] == 80
    assert steps[0.5] == steps[0.999] == 41  # two windows: what the first one wins is not compared


def test_pairs_that_can_not_share_a_batch_are_refused(stylizer: Stylizer) -> None:
    with pytest.raises(NSTError, match="can't share a batch"):
        stylizer.run([prepared(epochs=1), prepared(epochs=2)])


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0], [1.0, math.nan]])
def test_a_pair_needs_styles_that_weigh_something(weights: list[float]) -> None:
    picture = make_picture(32, 32, seed=1)
    with pytest.raises(NSTError, match="weight above 0"):
        PreparedPair.prepare(images.Picture(picture), [(Style(picture), w) for w in weights], Parameters())
