"""The documents: links lead somewhere, and the recipes for bulk runs work."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import make_picture
from tests.pipeline.calling import Call

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])


def text_of(document: Path) -> str:
    """The text without code."""
    return re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)


def anchors(document: Path) -> Iterator[str]:
    """The anchors that GitHub gives to the headings of a document."""
    for heading in re.findall(r"^#+ (.*)$", text_of(document), re.MULTILINE):
        yield re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_and_headings_that_are_there(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), target
        if anchor:
            assert anchor in set(anchors(file)), target


def test_the_recipes_for_bulk_runs_work(call_fake: Call, tmp_path: Path) -> None:
    first, last = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/bulk.md").read_text(encoding="utf-8"), re.DOTALL
    )
    for name in ("photo.png", "art.png"):
        make_picture().save(tmp_path / name)
    table = "\ufeffcontent,style,id\nphoto.png,art.png,\nart.png,photo.png,mine\n"
    (tmp_path / "pairs.csv").write_text(table, encoding="utf-8")
    subprocess.run([sys.executable, "-c", first], check=True, cwd=tmp_path)
    code, text = call_fake("run", tmp_path / "manifest.json", "--outbox", tmp_path / "results")
    assert code == 0, text
    printed = subprocess.run(
        [sys.executable, "-c", last], check=True, cwd=tmp_path, capture_output=True, text=True
    ).stdout
    assert [line.split("\t")[0] for line in printed.splitlines()] == ["mine", "photo-art"]
