"""`strength`: the style weight that comes of it, for one style, several ones, and regions."""

from dataclasses import replace

import pytest
from PIL import Image

from nst import Parameters, PreparedPair, Style, Stylizer, images
from tests.conftest import make_picture
from tests.nst.pairs import prepared


def pale(picture: Image.Image) -> Image.Image:
    """The picture with a tenth of its contrast."""
    return Image.blend(Image.new("RGB", picture.size, (128, 128, 128)), picture, 0.1)


def test_the_picture_is_that_of_the_style_weight_that_the_result_tells(stylizer: Stylizer) -> None:
    (strong,) = stylizer.run([prepared(strength=2)])
    (weighted,) = stylizer.run([prepared(style_weight=strong.style_weight)])
    assert weighted.style_weight == strong.style_weight
    assert weighted.image == strong.image
    assert weighted.losses == strong.losses


def test_a_style_weight_that_is_given_stays(stylizer: Stylizer) -> None:
    first, second = stylizer.run([prepared(style_weight=1e5), prepared(3, strength=1)])
    assert first.style_weight == 1e5
    assert second.style_weight != 1e6


def test_the_style_weight_is_proportional_to_the_strength(stylizer: Stylizer) -> None:
    weak, strong = stylizer.run([prepared(strength=0.5), prepared(strength=4)])
    assert strong.style_weight == pytest.approx(8 * weak.style_weight)


def test_a_pale_style_gets_a_larger_weight(stylizer: Stylizer) -> None:
    content, style = make_picture(48, 40, 1), make_picture(64, 64, 2)
    vivid, faint = (
        stylizer.stylize(content, each, epochs=1, strength=1).style_weight for each in (style, pale(style))
    )
    assert faint > 2 * vivid


def test_a_style_without_any_contrast_has_a_finite_weight(stylizer: Stylizer) -> None:
    grey = Image.new("RGB", (32, 32), (124, 116, 104))  # almost 0 for the network
    result = stylizer.stylize(make_picture(48, 40, 1), grey, epochs=1, strength=100)
    assert 0 < result.style_weight < 1e15


def test_of_two_styles_in_one_picture_the_pale_one_counts_as_much(stylizer: Stylizer) -> None:
    vivid, faint = make_picture(64, 64, 2), pale(make_picture(64, 64, 3))
    pair = prepared(strength=1)
    mixed = replace(pair, styles=((Style(vivid), 1.0), (Style(faint), 1.0)))
    (balance,) = stylizer.targets.balances([mixed])
    ((first, second),) = balance.styles
    assert second > 2 * first
    (plain,) = stylizer.targets.balances([replace(mixed, parameters=Parameters())])
    assert plain.styles == [[1.0, 1.0]]


def test_the_styles_of_two_regions_are_equally_strong(stylizer: Stylizer) -> None:
    left, right = Image.new("L", (48, 40)), Image.new("L", (48, 40), 255)
    left.paste(255, (0, 0, 24, 40))
    right.paste(0, (0, 0, 24, 40))
    vivid, faint = make_picture(64, 64, 2), pale(make_picture(64, 64, 3))
    styles = [(Style(vivid, left), 1.0), (Style(faint, right), 1.0)]
    content = images.Picture(make_picture(48, 40, 1))
    (both,) = stylizer.targets.balances([PreparedPair.prepare(content, styles, Parameters(strength=1))])
    alone = [
        stylizer.targets.balances([PreparedPair.prepare(content, [each], Parameters(strength=1))])[0]
        for each in styles
    ]
    # The factor of a region times the weight of the pair is the weight that its style has alone.
    found = (both.regions * both.style_weight).tolist()
    assert found == pytest.approx([each.style_weight.item() for each in alone])
    assert both.regions.mean().item() == pytest.approx(1)
