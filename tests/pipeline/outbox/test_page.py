import math
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest
from PIL import Image

from nst.parameters import Parameters
from pipeline.errors import Problem
from pipeline.outbox.page import page
from pipeline.outbox.record import DeliveredLosses, Record, RecordedImage, WeightFile

HOSTILE = "<script>alert(1)</script>\" onerror='x' &amp; #%41 ü\x01.jpg"
NAME = "a b#1%20&'ü"  # what an id may be
VOID = {"meta", "img", "br", "source"}
CURVE = [(1, 1000.0), (11, 100.0), (21, 10.0)]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)


def source(reference: str, weight: float = 1.0) -> RecordedImage:
    return RecordedImage(reference=reference, sha256="0" * 64, thumbnail="thumbs/ab.jpg", weight=weight)


def record(**changes: object) -> Record:
    name = changes.get("id", "cat-waves")
    plain: dict[str, object] = {
        "id": name,
        "input_digest": "0" * 64,
        "picture": f"{name}.png",
        "content": source("photos/cat.jpg"),
        "styles": [source("art/waves.png")],
        "parameters": Parameters(),
        "width": 640,
        "height": 480,
        "losses": DeliveredLosses(content=12.5, style=2.3e-5, tv=0.0, total=1234.4),
        "evaluations": 200,
        "seconds": 12.34,
        "device": "cpu",
        "dtype": "float32",
        "weights": WeightFile(source="embedded", sha256="0" * 64),
        "versions": {"nst-pipeline": "0.1.0"},
        "finished": "2025-01-02T03:04:05+00:00",
        "curve": CURVE,
    }
    return Record.model_validate({**plain, **changes})


class Parsed(HTMLParser):
    """The elements of a page and the text in them. Checks that every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        assert len(found) == len(attrs), "an element has an attribute twice"
        self.elements.append((tag, found))
        if tag not in VOID:
            self._open.append((tag, found.get("class", "")))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        self.texts += [(place, data) for pair in self._open for place in pair if data.strip()]

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, place: str) -> str:
        """All text in elements of this tag or class."""
        return " ".join(text.strip() for found, text in self.texts if found == place)


def shown(*records: Record, problems: tuple[Problem, ...] = ()) -> Parsed:
    return Parsed(page("autumn", records, problems))


def test_the_header_shows_the_totals() -> None:
    records = [record(id="a"), record(id="b", seconds=3595.0, device="NVIDIA H100")]
    parsed = shown(*records, problems=(Problem("pairs[2]", "gone", "c"),))
    assert parsed.text("h1") == "autumn"
    assert parsed.text("totals") == "Done 2 Failed 1 Time 1 h 0 min Device NVIDIA H100, cpu"


def test_problems_are_listed_before_the_pictures_with_their_places() -> None:
    problems = (Problem("pairs[2]", "no such file", "dog"), Problem("", "too large"))
    parsed = shown(record(), problems=problems)
    expected = "dog pairs[2] no such file whole manifest too large"
    assert parsed.text("failures") == f"2 failed {expected}"
    headings = [text for place, text in parsed.texts if place in ("h1", "h2")]
    assert headings == ["autumn", "2 failed", "cat-waves"]


def test_without_problems_there_is_no_list_of_problems() -> None:
    assert shown(record()).text("failures") == ""


def test_a_page_without_pictures_says_so() -> None:
    parsed = shown(problems=(Problem("pairs[0]", "no such file", "cat"),))
    assert parsed.text("main").endswith("No pictures.")


def test_a_card_shows_losses_evaluations_and_time() -> None:
    assert shown(record()).text("measured") == (
        "Total loss 1,234 Evaluations 200 Time 12.3 s"
        " Content loss 12.5 Style loss 2.3 × 10⁻⁵ Total variation 0"
    )


def test_a_card_lists_changed_parameters_and_all_parameters_in_a_table() -> None:
    layers = {"relu2_1": 2.0}
    changes = Parameters(style_weight=1234567.5, style_layers=layers, preserve_color=True)
    parsed = shown(record(parameters=changes))
    changed = "style weight 1,234,567.5 style layers relu2_1 2 preserve color yes"
    assert parsed.text("changed") == changed
    table = parsed.text("table")
    assert all(name.replace("_", " ") in table for name in Parameters.model_fields)
    assert shown(record()).text("changed") == "default parameters"


def test_a_card_shows_the_strength_and_the_style_weight_that_came_of_it() -> None:
    shows = shown(record(parameters=Parameters(strength=0.5), style_weight=12345.678))
    assert shows.text("changed") == "strength 0.5"
    assert "style weight 12,350 strength 0.5" in shows.text("table")
    assert "style weight 1,000,000 strength none" in shown(record()).text("table")


def test_a_card_names_the_machine_that_made_the_picture_where_the_record_names_it() -> None:
    assert "cpu, float32, gpu-1" in shown(record(node="gpu-1")).text("table")
    assert "cpu, float32" in shown(record()).text("table")


def test_style_weights_are_shown_if_there_are_several_styles() -> None:
    several = shown(record(styles=[source("a/x.png", 0.7), source("a/y.png", 0.3)]))
    captions = "Content cat.jpg Style x.png weight 0.7 Style y.png weight 0.3"
    assert several.text("figcaption") == captions
    assert "weight" not in shown(record()).text("figcaption")


def test_all_text_is_escaped() -> None:
    hostile = record(
        id=HOSTILE,
        content=source(HOSTILE),
        styles=[source(HOSTILE, 1.0), source(HOSTILE, 2.0)],
        device=HOSTILE,
        dtype=HOSTILE,
        weights=WeightFile(source=HOSTILE, sha256=HOSTILE),
    )
    parsed = Parsed(page(HOSTILE, [hostile], [Problem(HOSTILE, HOSTILE + "\ud800", HOSTILE)]))
    expected = HOSTILE.replace("\x01", "\ufffd")
    assert not parsed.all("script")
    assert parsed.text("h1") == expected
    assert parsed.text("failures") == f"1 failed {expected} {expected} {expected}\ufffd"
    last = expected.rpartition("/")[2]
    assert [image["alt"] for image in parsed.all("img")] == [
        f"{last} in the style of {last} and {last}",
        f"Content: {last}",
        f"Style: {last}",
        f"Style: {last}",
    ]


def test_links_point_to_the_files_of_the_pair() -> None:
    parsed = shown(record(id=NAME))
    links = [element["href"] for element in parsed.all("a")]
    links += [element["src"] for element in parsed.all("img")]
    assert all(re.fullmatch(r"[\w.~/%-]+", link, re.ASCII) for link in links)
    parts = [".png", ".png", ".loss.jsonl", ".json", ".png"]
    thumbnails = ["thumbs/ab.jpg", "thumbs/ab.jpg"]
    assert [unquote(link) for link in links] == [*(NAME + part for part in parts), *thumbnails]


def test_the_page_loads_no_files_except_the_pictures() -> None:
    html = page("autumn", [record()], [])
    assert {tag for tag, _ in Parsed(html).elements}.isdisjoint({"script", "link", "iframe"})
    assert not re.search(r"//|url\(|@import", html)


def plotted(parsed: Parsed) -> list[tuple[float, float]]:
    (line,) = parsed.all("polyline")
    points = [point.split(",") for point in line["points"].split()]
    return [(float(x), float(y)) for x, y in points]


def test_the_curve_is_logarithmic_and_shows_its_first_and_last_value() -> None:
    parsed = shown(record(curve=CURVE))
    (x0, y0), (x1, y1), (x2, y2) = plotted(parsed)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2) and x0 < x1
    assert y1 - y0 == pytest.approx(y2 - y1, abs=0.2) and y0 < y1
    assert parsed.text("value") == "1,000 10"
    assert "10¹ 10² 10³" in parsed.text("svg")
    assert parsed.all("svg")[0]["aria-label"] == "Total loss from 1,000 to 10 in 21 evaluations"


@pytest.mark.parametrize(
    "totals",
    [
        [5.0],
        [0.0],
        [5.0, 5.0, 5.0],
        [0.0, 0.0],
        [100.0, 1.0, 0.0],
        [1e-300, 1e-310, 5e-324],
        [1e308, 1.0, 1e-308],
        [-1.0, 2.0],
        [math.inf, 3.0, math.nan, 2.0, math.inf],
    ],
)
def test_any_curve_stays_inside_its_plot(totals: list[float]) -> None:
    parsed = shown(record(curve=list(enumerate(totals, start=1))))
    points = plotted(parsed)
    assert len(points) == sum(map(math.isfinite, totals))
    assert all(30 <= x <= 340 and 30 <= y <= 125 for x, y in points)
    values = [text for place, text in parsed.texts if place == "value"]
    assert len(values) == min(len(points), 2)
    assert "nan" not in str(parsed.elements) and "inf" not in str(parsed.elements)


def test_a_constant_curve_is_horizontal_and_in_the_middle() -> None:
    ys = {y for _, y in plotted(shown(record(curve=[(1, 7.0), (2, 7.0)])))}
    assert ys == {77.0}


def test_without_a_curve_the_card_says_so() -> None:
    parsed = shown(record(curve=[]))
    assert not parsed.all("svg") and "No loss curve" in parsed.text("article")


def test_pictures_of_many_pairs_load_lazily_and_have_fixed_sizes() -> None:
    curve = [(step, 1e6 / step) for step in range(1, 61)]
    records = [record(id=f"pair {n}", curve=curve) for n in range(300)]
    html = page("autumn", records, [])
    images = re.findall("<img [^>]*>", html)
    assert len(images) == 900
    assert all('loading="lazy" decoding="async"' in image for image in images)
    assert all(re.search(r'width="\d+" height="\d+"', image) for image in images)
    assert sum('width="640" height="480"' in image for image in images) == 300
    assert "content-visibility: auto" in html and "contain-intrinsic-size: auto" in html


@pytest.mark.skipif(CHROMIUM is None, reason=f"needs one of {', '.join(BROWSERS)}")
def test_a_browser_shows_the_pictures(tmp_path: Path) -> None:
    (tmp_path / "thumbs").mkdir()
    Image.new("RGB", (256, 160)).save(tmp_path / "thumbs" / "ab.jpg")
    Image.new("RGB", (640, 480)).save(tmp_path / f"{NAME}.png")
    # Reports the size of each picture in the browser; 0 if it was not loaded.
    check = """<script>
      setInterval(() => { document.body.dataset.pictures = [...document.images].map(
        image => `${image.naturalWidth}x${image.naturalHeight}`).join(" ") }, 100)
    </script></body>"""
    html = page("autumn", [record(id=NAME)], []).replace("</body>", check)
    (tmp_path / "index.html").write_text(html, "utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    wait = ["--virtual-time-budget=5000", "--dump-dom", (tmp_path / "index.html").as_uri()]
    command = [str(CHROMIUM), *options, profile, *wait]
    seen = subprocess.run(command, capture_output=True, check=True, timeout=100)
    assert 'data-pictures="640x480 256x160 256x160"' in seen.stdout.decode()
