import io

import pytest
import torch
from PIL import Image, ImageStat

from nst import Evaluation, ImageError, NSTError, Parameters, Stylizer, images
from nst.objective import Layers, Objective, style_grams
from nst.vgg import VGG19
from tests.conftest import make_picture
from tests.nst.pairs import prepared


def mean_levels(picture: Image.Image) -> list[float]:
    return ImageStat.Stat(picture).mean


def test_two_pictures_are_stylized_with_the_default_dtype(content: Image.Image, style: Image.Image) -> None:
    result = Stylizer(device="cpu").stylize(content, style, epochs=1, max_size=32)
    assert result.image.size == (32, 27)
    first, last = result.evaluations[0].losses.total, result.losses.total
    assert last < 0.2 * first


def test_the_delivered_loss_is_the_objective_at_the_saved_pixels(
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


def test_a_pair_in_a_batch_gives_the_result_that_it_gives_alone(stylizer: Stylizer) -> None:
    pairs = [
        prepared(1, style=5, size=(192, 32), style_weight=1e4),
        prepared(3, style=6, size=(192, 32), style_weight=1e3),
        prepared(4, style=7, size=(192, 32), style_weight=1e4, tv_weight=100.0),
    ]
    assert len(pairs[0].contents) == 2
    together = stylizer.run(pairs)
    for pair, result in zip(pairs, together, strict=True):
        (alone,) = stylizer.run([pair])
        first, expected = ([e.losses.total for e in r.evaluations[:9]] for r in (result, alone))
        assert first == pytest.approx(expected, rel=3e-3)
        # Rounding makes the searches diverge later. They end at different pictures, with about equal losses.
        assert result.losses.total == pytest.approx(alone.losses.total, rel=0.04)


def test_the_callback_gets_every_evaluation_in_order(stylizer: Stylizer) -> None:
    received: list[tuple[int, Evaluation]] = []
    results = stylizer.run([prepared(1), prepared(3)], lambda i, e: received.append((i, e)))
    for index, result in enumerate(results):
        of_pair = [e for i, e in received if i == index]
        assert of_pair == result.evaluations
        assert [e.step for e in of_pair] == list(range(1, 21))
        assert all(e.steps == 20 and e.scale == 48 for e in of_pair)
        losses = of_pair[-1].losses
        assert losses.total == pytest.approx(losses.content + 1e6 * losses.style, rel=1e-4)


def test_an_exception_of_the_callback_ends_the_run(stylizer: Stylizer) -> None:
    received = []

    def stop(index: int, evaluation: Evaluation) -> None:
        received.append(evaluation)
        raise KeyError("enough")

    with pytest.raises(KeyError):
        stylizer.run([prepared()], stop)
    assert len(received) == 1


def test_pictures_are_never_enlarged(stylizer: Stylizer) -> None:
    (result,) = stylizer.run([prepared(max_size=4000)])
    assert result.image.size == make_picture().size


def test_the_total_variation_term_smooths_the_picture(stylizer: Stylizer) -> None:
    rough, smooth = (stylizer.run([prepared(tv_weight=w)])[0] for w in (0.0, 1e8))
    assert smooth.losses.tv < 0.5 * rough.losses.tv


def test_two_styles_are_mixed_by_their_weights(stylizer: Stylizer, content: Image.Image) -> None:
    red, blue = (Image.new("RGB", (64, 64), c) for c in ((200, 40, 40), (40, 40, 200)))
    means = {}
    for share in (0.1, 0.9):
        styles = [(red, share), (blue, 1 - share)]
        picture = stylizer.stylize(content, styles, epochs=2, max_size=32).image
        means[share] = mean_levels(picture)
    assert means[0.9][0] > means[0.1][0] + 20
    assert means[0.9][2] < means[0.1][2] - 20


def test_the_contents_colours_can_be_preserved(stylizer: Stylizer, style: Image.Image) -> None:
    content = Image.new("RGB", (48, 48), (30, 160, 60))
    content.paste((40, 130, 80), (0, 0, 24, 48))
    picture = stylizer.stylize(content, style, epochs=1, preserve_color=True).image
    chroma = [mean_levels(p.convert("YCbCr")) for p in (content, picture)]
    assert chroma[0][1:] == pytest.approx(chroma[1][1:], abs=4)


def test_content_and_style_layers_can_be_chosen(stylizer: Stylizer) -> None:
    pair = prepared(content_layers={"relu2_1": 1.0}, style_layers={"conv1_1": 2.0, "relu2_1": 1.0})
    assert list(pair.parameters.style_layers) == ["relu1_1", "relu2_1"]
    (result,) = stylizer.run([pair])
    assert result.losses.total < result.evaluations[0].losses.total


def test_bf16_features_give_about_the_loss_of_fp32_features(stylizer: Stylizer) -> None:
    pair = prepared()
    (exact,) = stylizer.run([pair])
    (fast,) = Stylizer(device="cpu", dtype="bf16").run([pair])
    assert fast.losses.total == pytest.approx(exact.losses.total, rel=0.1)


def test_no_pairs_have_no_results(stylizer: Stylizer) -> None:
    assert stylizer.run([]) == []


def test_a_damaged_picture_is_refused(stylizer: Stylizer, style: Image.Image) -> None:
    file = io.BytesIO()
    make_picture(300, 300).save(file, "JPEG")
    with pytest.raises(ImageError, match="incomplete or damaged"):
        stylizer.stylize(Image.open(io.BytesIO(file.getvalue()[:3000])), style)
    with pytest.raises(ImageError, match="no pixels: 0x5"):
        stylizer.stylize(Image.new("RGB", (0, 5)), style)


def test_the_style_weight_of_a_result_is_the_one_that_was_given(
    stylizer: Stylizer, content: Image.Image, style: Image.Image
) -> None:
    result = stylizer.stylize(content, style, max_size=32, epochs=1, style_weight=3e-5)
    assert result.style_weight == 3e-5


def test_pairs_that_can_not_share_a_batch_are_refused(stylizer: Stylizer) -> None:
    with pytest.raises(NSTError, match="can't share a batch"):
        stylizer.run([prepared(epochs=1), prepared(epochs=2)])
