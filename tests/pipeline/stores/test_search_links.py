"""Patterns follow links only to what may be read."""

from pathlib import Path

import pytest

from pipeline.stores.folder import FolderStore
from pipeline.stores.search import Search
from pipeline.stores.sources import Sources


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A tree with links to a folder and a file outside of it, and to a folder above the link."""
    tree = tmp_path / "tree"
    for name in ("in/deep/d.png", "art/f.gif"):
        (tree / name).parent.mkdir(parents=True)
        (tree / name).touch()
    (tree.parent / "outside" / "below").mkdir(parents=True)
    for name in ("x.gif", "below/x.gif"):
        (tree.parent / "outside" / name).touch()
    (tree / "in" / "out").symlink_to(tree.parent / "outside")
    (tree / "in" / "up").symlink_to(tree)
    (tree / "in" / "out.gif").symlink_to(tree.parent / "outside" / "x.gif")
    (tree / "in" / "inner").symlink_to("../art")
    (tree / "in" / "inner.gif").symlink_to("../art/f.gif")
    return tree


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("[i]n/out/*.gif", []),
        ("**/out/*.gif", []),
        ("[i]n/out/below/*.gif", []),
        ("in/out/*.gif", []),
        ("*/out/**", []),
        ("[i]n/up/in/deep/*.png", []),
        ("[i]n/inner/*.gif", ["in/inner/f.gif"]),
        ("*/inner/f.*", ["in/inner/f.gif"]),
    ],
)
def test_a_part_without_wildcards_follows_links_like_other_parts(
    linked: Path, pattern: str, found: list[str], scanned: list[str]
) -> None:
    warnings: list[str] = []
    assert FolderStore(linked).glob(pattern, Search(warn=warnings.append)) == found
    assert not any(folder.startswith(f"{linked}/in/out") for folder in scanned)
    outside = [f"{linked}/in/out: is a link to a folder outside {linked}; it is left out"]
    assert warnings == (outside if "out" in pattern else [])


@pytest.mark.parametrize("pattern", ["in/*.gif", "**/o*.gif", "[i]n/out.gif"])
def test_a_link_to_a_file_outside_is_left_out_and_reported(linked: Path, pattern: str) -> None:
    warnings: list[str] = []
    sources = Sources(FolderStore(linked))
    found = sources.glob(pattern, Search(warn=warnings.append))
    assert found == (["in/inner.gif"] if pattern == "in/*.gif" else [])
    assert f"{linked}/in/out.gif: is a link to a file outside {linked}; it is left out" in warnings
    assert all(sources.read(reference) == b"" for reference in found)


def test_a_link_to_a_file_in_an_allowed_place_is_found(linked: Path) -> None:
    sources = Sources(FolderStore(linked), [FolderStore(linked.parent / "outside")])
    found = sources.glob("in/*.gif")
    assert found == ["in/inner.gif", "in/out.gif"]
    assert all(sources.read(reference) == b"" for reference in found)
