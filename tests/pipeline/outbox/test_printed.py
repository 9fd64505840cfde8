"""How a page shows TIFF pictures, which browsers do not show, and what their records say."""

import json
from pathlib import PurePosixPath
from typing import Any

import pytest

from nst import Parameters
from pipeline.outbox.record import Record, read_record
from tests.pipeline.outbox.test_page import NAME, Parsed, record, shown
from tests.pipeline.outbox.test_sweep import swept

SMALL = "thumbs/0123456789abcdef.jpg"


def printed(plain: Record) -> Record:
    """The record with a TIFF picture."""
    parameters = plain.parameters.model_copy(update={"format": "tiff"})
    changes = {"picture": f"{plain.id}.tiff", "thumbnail": SMALL, "parameters": parameters}
    return plain.model_copy(update=changes)


def files(parsed: Parsed, tag: str, key: str) -> set[str]:
    return {PurePosixPath(element[key]).name for element in parsed.all(tag)}


def test_a_card_shows_a_jpeg_and_links_to_the_picture() -> None:
    parsed = shown(printed(record(id="cat", parameters=Parameters(enlarge=True, dpi=300))))
    (image,) = [each for each in parsed.all("img") if each["width"] == "640"]
    assert (image["src"], image["height"]) == (SMALL, "480")
    links = [element["href"] for element in parsed.all("a")]
    assert links == ["cat.tiff", "cat.tiff", "cat.loss.jsonl", "cat.json"]
    assert parsed.text("links").startswith("Picture, 640 × 480, TIFF")
    assert parsed.text("changed") == "enlarge yes format tiff dpi 300"


def test_links_to_the_picture_are_quoted() -> None:
    parsed = shown(printed(record(id=NAME)))
    assert "a%20b%231%2520%26%27%C3%BC.tiff" in files(parsed, "a", "href")


def test_a_grid_shows_jpegs_and_links_to_the_pictures() -> None:
    parsed = shown(*map(printed, swept(seed=[1, 2])))
    assert PurePosixPath(SMALL).name in files(parsed, "img", "src")
    assert {"seed%3D1.tiff", "seed%3D2.tiff"} <= files(parsed, "a", "href")
    assert not any(name.endswith(".tiff") for name in files(parsed, "img", "src"))


def test_a_sweep_of_parameters_for_printing_names_their_values() -> None:
    strips: dict[str, list[Any]] = {
        "dpi": [None, 72.5, 300],
        "enlarge": [True, False],
        "format": ["png", "tiff"],
    }
    found = [shown(*swept(**{name: values})).text("strip") for name, values in strips.items()]
    assert found == ["dpi none dpi 72.5 dpi 300", "enlarge no enlarge yes", "format png format tiff"]


@pytest.mark.parametrize("form", ["png", "jpg", "webp"])
def test_formats_that_browsers_show_have_no_thumbnail(form: str) -> None:
    plain = record(parameters=Parameters.model_validate({"format": form}))
    assert plain.with_thumbnail(b"picture") == plain
    assert plain.shown == plain.picture


def test_a_thumbnail_is_named_after_the_bytes_of_the_picture() -> None:
    plain = record(parameters=Parameters(format="tiff"))
    names = [plain.with_thumbnail(data).thumbnail for data in (b"a", b"b", b"a")]
    assert names[0] == names[2] != names[1]


def test_the_text_of_a_record_names_only_parameters_for_printing_that_are_used() -> None:
    plain = json.loads(record().model_dump_json())
    assert "thumbnail" not in plain
    assert not {"enlarge", "dpi"} & plain["parameters"].keys()
    used = printed(record(parameters=Parameters(enlarge=True, dpi=300)))
    assert read_record(used.model_dump_json().encode()).record == used
