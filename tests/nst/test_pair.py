import pytest
import torch

from nst import Parameters, PreparedPair, Style, images
from tests.conftest import make_picture


@pytest.mark.parametrize("preserve_color", [False, True])
def test_no_more_of_a_style_is_kept_than_will_be_looked_at(preserve_color: bool) -> None:
    content = images.Picture(make_picture(300, 200))
    style = Style(make_picture(900, 30))
    parameters = Parameters(max_size=200, style_scale=1.5, preserve_color=preserve_color)
    ((kept, _),) = PreparedPair.prepare(content, [(style, 1.0)], parameters).styles
    assert kept.image.size == (300, 16)
    if not preserve_color:
        assert torch.equal(kept.at(300), style.at(300))


def test_a_small_style_is_kept_as_it_is() -> None:
    style = Style(make_picture(40, 30))
    ((kept, _),) = PreparedPair.prepare(
        images.Picture(make_picture(64, 64)), [(style, 1.0)], Parameters()
    ).styles
    assert kept is style
