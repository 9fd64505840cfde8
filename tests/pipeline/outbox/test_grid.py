"""How a page shows a sweep."""

from collections.abc import Sequence
from urllib.parse import unquote

import pytest

from pipeline.outbox.page import page
from pipeline.outbox.pages import PAIRS
from pipeline.outbox.record import Record
from tests.pipeline.outbox.test_page import HOSTILE, Parsed, record, shown, source
from tests.pipeline.outbox.test_sweep import swept

WEIGHTS = [1e5, 1e6, 1e7]


def headings(parsed: Parsed) -> list[str]:
    return [text for place, text in parsed.texts if place == "th"]


def pictures(parsed: Parsed, records: Sequence[Record]) -> list[str]:
    """The ids in the grids, in the order of the page: their pictures have the ids as alternative texts."""
    known = {record.id for record in records}
    return [image["alt"] for image in parsed.all("img") if image["alt"] in known]


def test_a_table_names_its_axes_and_all_values() -> None:
    records = swept(max_size=[256, 512], style_weight=WEIGHTS)
    parsed = shown(*records)
    assert headings(parsed) == [
        *("style weight", "max size", "100,000", "1,000,000", "10,000,000", "256", "512")
    ]
    scopes = [element.get("scope") for element in parsed.all("th")]
    assert scopes == ["colgroup", None, *["col"] * 3, *["row"] * 2]
    assert pictures(parsed, records) == [
        f"max_size={size}-style_weight={weight}" for size in (256, 512) for weight in WEIGHTS
    ]


def test_one_axis_is_a_list_with_a_caption_at_each_picture() -> None:
    records = swept(style_weight=WEIGHTS)
    parsed = shown(*records)
    assert not parsed.all("table")
    strip = "style weight 100,000 style weight 1,000,000 style weight 10,000,000"
    assert parsed.text("strip") == strip
    assert pictures(parsed, records) == [record.id for record in records]


def test_a_third_parameter_is_the_caption_of_each_grid() -> None:
    parsed = shown(*swept(style_weight=WEIGHTS, max_size=[256, 512], init=["content", "random"]))
    assert len(parsed.all("table")) == 2
    assert parsed.text("caption") == "init content init random"


def test_each_content_and_style_has_a_section_with_its_images() -> None:
    records = [
        each.model_copy(update={"id": f"{c}-{s}-{each.id}", "content": source(c), "styles": [source(s)]})
        for c in ("cat.jpg", "dog.jpg")
        for s in ("waves.png", "mosaic.png")
        for each in swept(seed=[1, 2])
    ]
    parsed = shown(*records)
    assert len(parsed.all("section")) == 4
    found = [text for place, text in parsed.texts if place == "h2" and " in the style of " in text]
    assert found == [f"{c}.jpg in the style of {s}.png" for c in ("cat", "dog") for s in ("waves", "mosaic")]


def test_the_pictures_of_a_grid_are_links_and_their_cards_are_folded_below() -> None:
    records = swept(style_weight=WEIGHTS)
    parsed = shown(*records)
    assert parsed.text("summary").startswith("Losses, parameters and files of these 3 pictures")
    assert len(parsed.all("article")) == 3
    links = [unquote(a["href"]) for a in parsed.all("a") if a["href"].endswith(".png")]
    assert links[:3] == [each.picture for each in records]


def test_a_cell_without_a_picture_says_so() -> None:
    assert shown(*swept(seed=[1, 2], epochs=[3, 4])[1:]).text("td") == "no picture"


def test_all_text_of_a_sweep_is_escaped() -> None:
    hostile = {"content": source(HOSTILE), "styles": [source(HOSTILE)]}
    records = [
        each.model_copy(update={**hostile, "id": f"{HOSTILE}{n}"})
        for n, each in enumerate(swept(seed=[1, 2], epochs=[3, 4]))
    ]
    parsed = shown(*records)
    expected = HOSTILE.replace("\x01", "\ufffd")
    assert not parsed.all("script")
    assert f"{expected}0" in [image["alt"] for image in parsed.all("img")]


@pytest.mark.parametrize("records", [[], [record()]])
def test_a_page_without_a_sweep_has_no_section(records: list[Record]) -> None:
    html = page("autumn", records, [])
    assert not Parsed(html).all("section")
    assert ".grid" not in html


def test_a_sweep_that_is_split_over_pages_is_a_grid_on_each() -> None:
    records = swept(max_size=list(range(100, 200)), style_weight=WEIGHTS)
    for part in (records[:PAIRS], records[PAIRS:]):
        parsed = shown(*part)
        assert pictures(parsed, records) == [each.id for each in part]
        assert len(parsed.all("table")) == 1
