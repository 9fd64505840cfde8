"""The tables in docs/manifest.md agree with the models from which they are made."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.manifest.models import json_schema
from pipeline.manifest.reading import parse
from pipeline.manifest.reference import BEGIN, END, reference, updated

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "manifest.md"
COMMAND = ["-m", "pipeline.manifest.reference"]


def test_the_committed_document_is_up_to_date() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert updated(text) == text, "run: make reference"


def test_every_key_of_every_object_has_a_row_with_a_meaning() -> None:
    rows = {
        row[1]: row[2] for row in re.finditer(r"^\| `([^`]+)` \|.*\| (.*) \|$", reference(), re.MULTILINE)
    }
    keys = {key for found in json_schema()["$defs"].values() for key in found.get("properties", ())}
    assert set(rows) == keys
    assert all(rows.values())


def test_a_row_gives_type_default_range_and_meaning() -> None:
    rows = reference().splitlines()
    assert "| `epochs` | integer | `10` | 1 to 1000 | 1 epoch = 20 L-BFGS iterations. |" in rows
    assert (
        '| `pooling` | `"max"` or `"avg"` | `"max"` |  | Pooling of the network: maximum or average. |'
        in rows
    )


def test_a_parameter_has_a_row_in_only_one_table() -> None:
    assert reference().count("| `epochs` |") == 1


def test_every_link_leads_to_a_heading() -> None:
    headings = set(re.findall(r"^### (.*)$", reference(), re.MULTILINE))
    links = set(re.findall(r"\[([^]]+)\]\(#([^)]+)\)", reference()))
    assert links
    assert {(text, text.lower().replace(" ", "-")) for text, _ in links} == links
    assert {text for text, _ in links} <= headings


def test_the_command_rewrites_only_the_part_between_the_markers(tmp_path: Path) -> None:
    file = tmp_path / "manual.md"
    file.write_text(f"Before.\n{BEGIN}\nold\n{END}\nAfter.\n", encoding="utf-8")
    subprocess.run([sys.executable, *COMMAND, file], check=True, cwd=ROOT)
    text = file.read_text(encoding="utf-8")
    assert text == f"Before.\n{BEGIN}\n\n{reference()}\n{END}\nAfter.\n"


def test_a_document_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="are missing"):
        updated("A document without tables.")


def test_every_example_in_the_document_is_a_valid_manifest() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    examples = re.findall(r"^```json\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert examples
    for example in examples:
        parse(example.encode())


def test_the_manifests_of_the_readme_and_of_the_demo_are_valid() -> None:
    blocks = re.findall("```json\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for data in (*(block.encode() for block in blocks), (ROOT / "manifests" / "demo.json").read_bytes()):
        assert parse(data)
