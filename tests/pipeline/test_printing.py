"""Results for people who print: larger than their content, as TIFF, with a resolution."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nst import images
from pipeline.outbox.record import read_record
from tests.conftest import SHALLOW, make_picture
from tests.pipeline.calling import Call

DESCRIPTION, SOFTWARE = 0x010E, 0x0131
PRINT = {"format": "tiff", "max_size": 64, "enlarge": True, "dpi": 300}
REFUSED = 'content.png: it is transparent, which TIFF results cannot be; use "format": "png" or "webp"'


def written(folder: Path, **pair: Any) -> Path:
    """A manifest with one pair of the images in the folder."""
    document = {"id": "p", "content": "content.png", "style": "style.png", "epochs": 1, **SHALLOW, **pair}
    path = folder / "m.json"
    path.write_text(json.dumps(document))
    return path


def run(call: Call, folder: Path, **pair: Any) -> set[str]:
    """The files of the pair and the thumbnails, after its manifest was run."""
    code, text = call("run", written(folder, **pair), "--outbox", folder / "out")
    assert code == 0, text
    there = [*(folder / "out/m").glob("p.*"), *(folder / "out/m/thumbs").iterdir()]
    return {str(path.relative_to(folder / "out/m")) for path in there}


def test_a_small_content_becomes_a_large_tiff_picture_that_the_page_shows_as_jpeg(
    folder: Path, call: Call
) -> None:
    make_picture(32, 24, seed=1).save(folder / "content.png")
    assert "p.tiff" in run(call, folder, **PRINT)
    data = (folder / "out/m/p.tiff").read_bytes()
    picture = images.decode(data)
    assert (picture.rgb.size, picture.dpi) == ((64, 48), (300, 300))
    with Image.open(folder / "out/m/p.tiff") as opened:
        assert (opened.format, opened.mode, "icc_profile" in opened.info) == ("TIFF", "RGB", True)
        described = json.loads(opened.getexif()[DESCRIPTION])
        assert opened.getexif()[SOFTWARE].startswith("nst-pipeline ")
    assert (described["id"], described["parameters"]["dpi"], described["parameters"]["enlarge"]) == (
        *("p", 300, True),
    )
    record = read_record((folder / "out/m/p.json").read_bytes()).record
    assert record and record.thumbnail and (record.width, record.height) == (64, 48)
    with Image.open(folder / "out/m" / record.thumbnail) as small:
        assert (small.format, small.size) == ("JPEG", (64, 48))
    page = (folder / "out/m/index.html").read_text()
    assert re.search(r'<a class="result" href="p\.tiff"><img src="thumbs/[0-9a-f]{16}\.jpg"', page)


def test_another_format_replaces_the_picture_and_its_thumbnail(folder: Path, call: Call) -> None:
    plain = run(call, folder, max_size=48)
    assert "p.png" in plain
    printed = run(call, folder, max_size=48, format="tiff")
    (shown,) = printed - plain - {"p.tiff"}
    assert printed == (plain - {"p.png"}) | {"p.tiff", shown}
    tag = (folder / "out/m/p.tiff").stat().st_mtime_ns
    assert run(call, folder, max_size=48, format="tiff") == printed
    assert (folder / "out/m/p.tiff").stat().st_mtime_ns == tag  # it was not computed again
    assert run(call, folder, max_size=48) == plain


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tiff"])
def test_the_file_of_each_format_has_the_resolution_of_the_manifest(
    folder: Path, call: Call, form: str
) -> None:
    make_picture(32, 24).save(folder / "content.png", dpi=(72, 72))
    run(call, folder, format=form, dpi=300)
    found = images.decode((folder / f"out/m/p.{form}").read_bytes())
    assert found.dpi == pytest.approx((300, 300), abs=0.02)


@pytest.mark.parametrize("command", ["run", "validate"])
def test_a_transparent_content_is_refused_for_tiff(folder: Path, call: Call, command: str) -> None:
    picture = make_picture(32, 24).convert("RGBA")
    picture.putalpha(254)
    picture.save(folder / "content.png")
    outbox = ("--outbox", folder / "out")
    code, text = call(command, written(folder, format="tiff"), *outbox)
    assert code == 1
    assert REFUSED in text.replace('\\"', '"')


def test_the_resolution_and_the_size_of_prints_do_not_change_the_record_of_other_pairs(
    folder: Path, call: Call
) -> None:
    run(call, folder, max_size=48, enlarge=False, dpi=None)
    text = (folder / "out/m/p.json").read_text()
    assert not re.search('"(thumbnail|enlarge|dpi)": (null|false)', text)


@pytest.mark.parametrize(
    ("what", "parameters"),
    [("picture", {"max_size": 12_000}), ("style", {"max_size": 1500, "style_scale": 10})],
)
def test_a_pair_that_is_too_large_for_the_memory_is_refused_before_work_begins(
    what: str, parameters: dict[str, object], folder: Path, call: Call
) -> None:
    path = written(folder, enlarge=True, **parameters)
    # The command runs in this process, which other tests may have left with some GB.
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    memory = f"{round(5 + pages * os.sysconf('SC_PAGE_SIZE') / 1e9, 1):g}"
    code, text = call("validate", path, "--memory", memory)
    assert code == 1
    expected = rf"a {what} of \d+ megapixels needs [\d.]+ GB of memory, and --memory {memory} leaves "
    assert re.search(expected + r"[\d.]+ GB; lower ", text)
    code, text = call("run", path, "--outbox", folder / "out", "--memory", memory)
    assert code == 1
    assert re.search("lower [a-z_ ]*max_size, or raise --memory", text)
