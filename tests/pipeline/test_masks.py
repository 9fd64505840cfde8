"""Regions and kept parts from the manifest to the page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nst import Parameters
from pipeline.check import check
from pipeline.engines.prepare import Preparer
from pipeline.errors import ManifestError
from pipeline.manifest.expand import expand
from pipeline.manifest.models import Pair, StyleEntry
from pipeline.manifest.reading import parse
from pipeline.outbox.page import page
from pipeline.outbox.record import Record
from pipeline.outbox.sweep import arranged
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores
from pipeline.stores.sources import Sources
from tests.conftest import SHALLOW
from tests.pipeline.calling import Call
from tests.pipeline.outbox.test_page import record

LEFT, RIGHT = ((255, 0), (0, 255))
REGIONS = [
    {"image": "style.png", "region": "left.png", "image_region": "part.png"},
    {"image": "style.png", "region": "right.png"},
]


def paint(path: Path, *levels: int, size: tuple[int, int] = (48, 40)) -> None:
    """A mask of vertical stripes of these levels."""
    stripes = Image.fromarray(np.array([levels], np.uint8))
    stripes.resize(size, Image.Resampling.NEAREST).save(path)


@pytest.fixture
def masks(folder: Path) -> Path:
    """A folder with images and masks."""
    for name, levels in {"left": LEFT, "right": RIGHT, "part": RIGHT, "black": (0,), "white": (255,)}.items():
        paint(folder / f"{name}.png", *levels)
    paint(folder / "face.png", 0, 0, 128, 255)
    paint(folder / "wide.png", *LEFT, size=(480, 100))
    speck = Image.new("L", (4800, 4000), 255)
    speck.putpixel((0, 0), 0)
    speck.save(folder / "speck.png", compress_level=1)
    return folder


def write(folder: Path, *pairs: dict[str, Any], **keys: Any) -> Path:
    path = folder / "m.json"
    defaults = {"epochs": 1, "max_size": 48, **SHALLOW}
    path.write_text(json.dumps({"defaults": defaults, "pairs": [*pairs], **keys}))
    return path


def checked(folder: Path, **pair: Any) -> tuple[list[str], list[str]]:
    """The errors, each with its place, and the warnings of a manifest with this pair."""
    warnings = list[str]()
    path = write(folder, {"content": "content.png", **pair})
    _, problems = check(path, Stores(), [], None, warn=warnings.append)
    return [f"{problem.place}: {problem.message}" for problem in problems], warnings


def test_a_pair_with_regions_is_done_and_its_record_and_page_name_the_masks(masks: Path, call: Call) -> None:
    path = write(masks, {"id": "p", "content": "content.png", "styles": REGIONS, "keep": "face.png"})
    assert call("run", str(path), "--outbox", str(masks / "out"))[0] == 0
    found = Record.model_validate_json((masks / "out/m/p.json").read_bytes())
    named = [found.styles[0].region, found.styles[0].image_region, found.styles[1].region, found.keep]
    assert [image and image.reference for image in named] == ["left.png", "part.png", "right.png", "face.png"]
    assert all(image and (masks / "out/m" / image.thumbnail).exists() for image in named)
    html = (masks / "out/m/index.html").read_text()
    assert all(
        f"<b>{role}</b> {name}" in html for role, name in (("Region", "left.png"), ("Keep", "face.png"))
    )
    before, after = (np.asarray(Image.open(masks / name)) for name in ("content.png", "out/m/p.png"))
    assert (before[:, 36:] == after[:, 36:]).all()
    assert (before[:, :24] != after[:, :24]).any()


def test_a_transparent_content_has_its_own_colours_where_it_is_kept(masks: Path, call: Call) -> None:
    before = np.random.default_rng(0).integers(0, 256, (40, 48, 4), np.uint8)
    before[:, :, 3] = 30
    Image.fromarray(before).save(masks / "content.png")
    path = write(masks, {"id": "p", "content": "content.png", "style": "style.png", "keep": "face.png"})
    assert call("run", str(path), "--outbox", str(masks / "out"))[0] == 0
    after = np.asarray(Image.open(masks / "out/m/p.png"))
    assert (before[:, 36:] == after[:, 36:]).all()
    assert (before[:, :24] != after[:, :24]).any()


def test_a_pair_is_computed_again_when_a_mask_changes(masks: Path, call: Call) -> None:
    path = write(masks, {"id": "p", "content": "content.png", "styles": REGIONS, "keep": "face.png"})
    finished = []
    for level in (0, 0, 255):
        paint(masks / "left.png", 255, level, 0)
        assert call("run", str(path), "--outbox", str(masks / "out"))[0] == 0
        finished.append(json.loads((masks / "out/m/p.json").read_bytes())["input_digest"])
    assert finished[0] == finished[1] != finished[2]


def digest(**changes: Any) -> str:
    store = MemoryStore("masks")
    for name in ("content", "style", "a", "b"):
        store.write(name, name.encode())
    entry = StyleEntry(
        image="style", region=changes.pop("region", None), image_region=changes.pop("part", None)
    )
    pair = Pair(id="p", place="", content="content", styles=(entry,), parameters=Parameters(), **changes)
    return Preparer("weights").read(pair, Sources(store)).digest


def test_each_mask_counts_in_its_place() -> None:
    found = [digest(), digest(region="a"), digest(part="a"), digest(keep="a"), digest(region="b")]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("pair", "error"),
    [
        ({"styles": [{"image": "style.png", "region": "black.png"}]}, "black.png: this mask is empty"),
        ({"styles": [{"image": "style.png", "image_region": "black.png"}]}, "black.png: this mask is empty"),
        ({"style": "style.png", "keep": "black.png"}, "black.png: this mask is empty"),
        ({"style": "style.png", "keep": "white.png"}, "white.png: this mask of 'keep' is all white"),
        ({"style": "style.png", "keep": "../face.png"}, "../face.png: lies outside"),
        ({"style": "style.png", "keep": "fase.png"}, "fase.png: no such file"),
        ({"style": "style.png", "keep": "m.json"}, "m.json: not an image"),
        (
            {"styles": REGIONS[1:], "keep": "right.png"},
            "content.png: nothing of the region of style 1 is left outside of what is kept; "
            "enlarge the white part of its mask, or the black part of 'keep'",
        ),
        (
            {"style": "style.png", "keep": "speck.png"},
            "content.png: nothing of the picture is left outside of what is kept; "
            "enlarge the black part of 'keep'",
        ),
    ],
)
def test_a_mask_that_cannot_be_used_is_an_error_at_its_pair(
    masks: Path, pair: dict[str, Any], error: str
) -> None:
    errors, _ = checked(masks, **pair)
    assert len(errors) == 1
    assert errors[0].startswith(f"pairs[0]: {error}")


@pytest.mark.parametrize(
    "document",
    [
        {"content": "c", "style": "s", "region": "m"},
        {"pairs": [{"content": "c", "style": "s", "region": "m"}]},
        {"defaults": {"region": "m"}, "pairs": [{"content": "c", "style": "s"}]},
    ],
)
def test_a_region_without_a_style_entry_is_an_error_with_the_remedy(document: dict[str, Any]) -> None:
    with pytest.raises(ManifestError) as caught:
        parse(json.dumps(document).encode())
    (problem,) = caught.value.problems
    assert problem.place.endswith("region")
    assert problem.message.startswith("belongs to an entry of 'styles', as in ")


def test_a_mask_of_another_aspect_is_fitted_and_reported(masks: Path, call: Call) -> None:
    errors, warnings = checked(masks, style="style.png", keep="wide.png")
    assert not errors
    expected = "wide.png: this mask of 480x100 pixels has another aspect ratio than content.png, 48x40"
    assert [text.partition(", and is")[0] for text in warnings] == [f"pairs[0]: {expected}"]
    path = write(masks, {"content": "content.png", "style": "style.png", "keep": "wide.png"})
    code, output = call("run", str(path), "--outbox", str(masks / "out"))
    assert code == 0
    assert expected in output


def test_a_mask_of_two_styles_is_reported_once(masks: Path) -> None:
    styles = [{"image": image, "region": "wide.png"} for image in ("style.png", "content.png")]
    _, warnings = checked(masks, styles=styles)
    assert len(warnings) == 1


def test_pairs_that_differ_in_masks_only_have_different_names() -> None:
    pairs = [
        {"content": "c.png", "style": "s.png"},
        {"content": "c.png", "style": "s.png", "keep": "a.png"},
        {"content": "c.png", "styles": [{"image": "s.png", "region": "a.png"}]},
    ]
    names = [pair.id for pair in expand(parse(json.dumps({"pairs": pairs}).encode()), lambda pattern: [])]
    assert len(set(names)) == 3


def test_all_pairs_of_a_product_keep_the_same() -> None:
    text = json.dumps({"product": {"content": ["a", "b"], "style": ["s"], "keep": "face.png"}})
    assert [pair.keep for pair in expand(parse(text.encode()), lambda pattern: [])] == ["face.png"] * 2


def test_records_of_other_masks_are_not_one_sweep() -> None:
    records = [record(id=f"{n}", parameters=Parameters(seed=n)) for n in range(2)]
    assert len(list(arranged(records))) == 1
    other = records[1].model_copy(update={"keep": records[1].content})
    assert len(list(arranged([records[0], other]))) == 2


def test_names_of_masks_are_escaped_on_the_page() -> None:
    made = record()
    evil = made.content.model_copy(update={"reference": "<b>.png"})
    html = page("m", [made.model_copy(update={"keep": evil})], [])
    assert "<b>.png" not in html
    assert "&lt;b&gt;.png" in html
