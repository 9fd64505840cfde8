"""How a page shows the snapshots of its pairs."""

from urllib.parse import unquote

from pipeline.outbox.page import page
from pipeline.outbox.pages import PAIRS
from pipeline.outbox.record import Record, RecordedSnapshots
from tests.pipeline.outbox.test_page import HOSTILE, NAME, Parsed, record, shown
from tests.pipeline.outbox.test_sweep import swept

STEPS = [1, 20, 1234]


def formed(plain: Record) -> Record:
    return plain.model_copy(update={"snapshots": RecordedSnapshots.of(plain.id, STEPS)})


def test_a_card_shows_the_animation_and_links_to_each_snapshot() -> None:
    parsed = shown(formed(record(id="cat")))
    (moving,) = [image for image in parsed.all("img") if image["src"].endswith(".webp")]
    assert moving["src"] == "cat.snapshots/animation.webp"
    assert (moving["width"], moving["height"], moving["loading"]) == ("640", "480", "lazy")
    assert parsed.text("formed") == "How it formed Animation at evaluation 1 20 1,234"
    links = [element["href"] for element in parsed.all("a") if ".snapshots/" in element["href"]]
    folder = "cat.snapshots"
    assert links == [f"{folder}/animation.webp"] * 2 + [f"{folder}/0{number}.jpg" for number in (1, 2, 3)]


def test_with_reduced_motion_the_card_shows_the_last_snapshot_and_links_to_the_animation() -> None:
    parsed = shown(formed(record(id="cat")))
    (source,) = parsed.all("source")
    expected = {"media": "(prefers-reduced-motion: reduce)", "srcset": "cat.snapshots/03.jpg"}
    assert source == expected
    assert "cat.snapshots/animation.webp" in [element["href"] for element in parsed.all("a")]


def test_a_card_without_snapshots_has_neither_animation_nor_style_for_it() -> None:
    html = page("autumn", [record()], [])
    assert "formed" not in html and not Parsed(html).all("picture")


def test_names_are_quoted_and_escaped() -> None:
    parsed = shown(formed(record(id=NAME)))
    (source,) = parsed.all("source")
    assert unquote(source["srcset"]) == f"{NAME}.snapshots/03.jpg"
    assert "," not in source["srcset"] and " " not in source["srcset"]
    assert not shown(formed(record(id=HOSTILE))).all("script")


def test_the_pictures_of_a_grid_link_to_their_animations_and_their_cards_show_them() -> None:
    records = [formed(each) for each in swept(style_weight=[1e5, 1e6], max_size=[256, 512])]
    parsed = shown(*records, record(id="another"))
    assert [link["href"] for link in parsed.all("a") if link.get("class") == "moving"] == [
        link["href"] for link in parsed.all("a") if link["href"].endswith(".webp")
    ][:4]
    assert parsed.text("td").count("How it formed") == 4
    assert len(parsed.all("picture")) == 4


def test_each_of_several_pages_shows_the_animations_of_its_pairs() -> None:
    records = [formed(record(id=f"pair {number}")) for number in range(PAIRS + 1)]
    for part in (records[:PAIRS], records[PAIRS:]):
        assert len(Parsed(page("autumn", part, [], "page")).all("picture")) == len(part)


def test_the_animations_need_no_network_and_no_script() -> None:
    html = page("autumn", [formed(record())], [])
    assert "<script" not in html and "//" not in html and "url(" not in html
