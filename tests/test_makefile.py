"""What the goals of the Makefile delete."""

import shutil
import subprocess
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parents[1] / "Makefile"


@pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")
def test_clean_deletes_only_what_serve_has_put_into_the_inbox(tmp_path: Path) -> None:
    shutil.copy(MAKEFILE, tmp_path)
    copied, own = tmp_path / "inbox" / "images", {"images/b.png", "images/mine.jpg", "done/mine.json"}
    for folder in (tmp_path / "manifests" / "images", copied, tmp_path / "inbox" / "done"):
        folder.mkdir(parents=True)
    for image in ("a.jpg", "b.png"):
        (tmp_path / "manifests" / "images" / image).write_text("a sample")
    (copied / "a.jpg").write_text("a sample")
    for name in (*own, "samples.json", "done/samples.json"):
        (tmp_path / "inbox" / name).write_text("of the user")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    left = [path for path in (tmp_path / "inbox").rglob("*") if path.is_file()]
    assert {str(path.relative_to(tmp_path / "inbox")) for path in left} == own
