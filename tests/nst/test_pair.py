import math

import pytest
import torch
from PIL import Image

from nst import ImageError, NSTError, Parameters, PreparedPair, Style, images
from tests.conftest import make_picture


@pytest.mark.parametrize("preserve_color", [False, True])
def test_a_style_is_shrunk_to_the_largest_size_at_which_it_is_used(preserve_color: bool) -> None:
    content = images.Picture(make_picture(300, 200))
    style = Style(make_picture(900, 30))
    parameters = Parameters(max_size=200, style_scale=1.5, preserve_color=preserve_color)
    ((kept, _),) = PreparedPair.prepare(content, [(style, 1.0)], parameters).styles
    assert kept.image.size == (300, 16)
    if not preserve_color:
        assert torch.equal(kept.at(300), style.at(300))


def test_a_small_style_is_not_resized() -> None:
    style = Style(make_picture(40, 30))
    ((kept, _),) = PreparedPair.prepare(
        images.Picture(make_picture(64, 64)), [(style, 1.0)], Parameters()
    ).styles
    assert kept is style


@pytest.mark.parametrize("size", [(1, 1), (15, 200), (3000, 20)])
def test_pictures_too_small_for_the_network_are_rejected(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="each side needs 16 pixels"):
        PreparedPair.prepare(
            images.Picture(Image.new("RGB", size)), [(Style(make_picture()), 1.0)], Parameters(max_size=512)
        )


@pytest.mark.parametrize("weights", [[], [0.0], [1.0, -1.0], [1.0, math.nan], [1.0, math.inf]])
def test_a_pair_needs_a_style_of_positive_and_finite_weight(weights: list[float]) -> None:
    picture = make_picture(32, 32, seed=1)
    with pytest.raises(NSTError, match="weight above 0"):
        PreparedPair.prepare(images.Picture(picture), [(Style(picture), w) for w in weights], Parameters())


def test_only_the_ratio_of_style_weights_counts_however_small_they_are() -> None:
    content = images.Picture(make_picture(32, 32, seed=1))
    styles = [Style(make_picture(32, 32, seed=seed)) for seed in (2, 3)]
    usual, tiny = (
        PreparedPair.prepare(content, [(style, weight) for style in styles], Parameters())
        for weight in (1.0, 1e-50)
    )
    assert torch.equal(usual.starts, tiny.starts)


def test_style_weights_that_differ_too_much_are_refused() -> None:
    picture = make_picture(32, 32, seed=1)
    styles = [(Style(picture), weight) for weight in (1.0, 1e-40)]
    with pytest.raises(NSTError, match="differ too much"):
        PreparedPair.prepare(images.Picture(picture), styles, Parameters())


@pytest.mark.parametrize("size", [1e-300, 1e-50, 1e39, 1e308])
def test_only_the_ratios_of_style_weights_count(size: float) -> None:
    pictures = [make_picture(32, 32, seed=seed) for seed in range(3)]
    styles = [[(Style(pictures[1]), w), (Style(pictures[2]), w / 2)] for w in (1.0, size)]
    usual, other = (
        PreparedPair.prepare(images.Picture(pictures[0]), each, Parameters()).styles for each in styles
    )
    assert [weight for _, weight in other] == pytest.approx([weight for _, weight in usual])


def test_a_part_of_a_style_that_is_smaller_than_a_pixel_is_where_it_lies() -> None:
    mask = Image.new("L", (1024, 512))
    mask.putpixel((770, 130), 255)
    style = Style(make_picture(1024, 512), image_region=mask)
    part = style.part_at(64)
    assert part is not None
    assert part.nonzero().tolist() == [[0, 8, 48]]
    assert style.part_at(1024).sum() == 1  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("size", "max_size", "plain", "enlarged"),
    [
        ((60, 40), 90, (60, 40), (90, 60)),
        ((40, 60), 90, (40, 60), (60, 90)),
        ((60, 40), 30, (30, 20), (30, 20)),
        ((60, 40), 60, (60, 40), (60, 40)),
    ],
)
def test_a_content_is_enlarged_to_max_size_only_on_request(
    size: tuple[int, int], max_size: int, plain: tuple[int, int], enlarged: tuple[int, int]
) -> None:
    content, style = images.Picture(make_picture(*size)), Style(make_picture(400, 400))
    sizes = []
    for enlarge in (False, True):
        parameters = Parameters(max_size=max_size, enlarge=enlarge, style_scale=2)
        pair = PreparedPair.prepare(content, [(style, 1.0)], parameters)
        sizes.append(pair.contents[-1].size)
        assert pair.styles[0][0].image.size == (2 * max(sizes[-1]),) * 2  # strokes keep their relative size
    assert sizes == [plain, enlarged]


def test_an_enlarged_content_is_resized_by_lanczos_with_its_transparency_and_its_masks() -> None:
    image, alpha = make_picture(32, 24), Image.linear_gradient("L").resize((32, 24))
    style, keep = Style(make_picture(400, 400), region=alpha), Image.linear_gradient("L")
    parameters = Parameters(max_size=64, enlarge=True)
    pair = PreparedPair.prepare(images.Picture(image, alpha), [(style, 1.0)], parameters, keep)
    expected = image.resize((64, 48), Image.Resampling.LANCZOS)
    assert pair.contents[-1].tobytes() == expected.tobytes()
    assert pair.alpha and pair.alpha.size == (64, 48)
    assert pair.regions and pair.regions.keeps[-1].size == (64, 48)


@pytest.mark.parametrize("size", [(10, 10), (300, 15)])
def test_a_content_that_is_too_small_is_refused_also_with_enlarge(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"the content is {size[0]}x{size[1]}; each side needs 16 pixels"):
        PreparedPair.prepare(
            images.Picture(Image.new("RGB", size)),
            [(Style(make_picture()), 1.0)],
            Parameters(max_size=512, enlarge=True),
        )
