"""What goes from the file of a content to its result, through a manifest."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import ExifTags, Image

from tests.conftest import SHALLOW, make_picture, make_png
from tests.pipeline.calling import Call

TAKEN = "2023:05:06 07:08:09"


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    """A photograph of 300 dpi with a date, which was taken with the camera turned."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Copyright] = "A. Photographer"
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = TAKEN
    path = tmp_path / "photograph.jpg"
    make_picture(32, 24).save(path, "JPEG", exif=exif, dpi=(300, 300))
    (tmp_path / "style.png").write_bytes(make_png(16, 16))
    return path


def result(call: Call, photograph: Path, **parameters: Any) -> Image.Image:
    """The picture that a manifest with the photograph gives."""
    pair = {"id": "p", "content": photograph.name, "style": "style.png", "max_size": 32, "epochs": 1}
    manifest = photograph.with_name("m.json")
    manifest.write_text(json.dumps({**pair, **SHALLOW, **parameters}))
    code, text = call("run", manifest, "--outbox", photograph.with_name("out"))
    assert code == 0, text
    (path,) = photograph.with_name("out").glob("m/p.*[gpf]")
    with Image.open(path) as picture:
        picture.load()
    return picture


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tiff"])
def test_a_manifest_can_keep_the_exif_of_its_contents(call: Call, photograph: Path, form: str) -> None:
    kept = result(call, photograph, keep_metadata=True, format=form).getexif()
    assert kept[ExifTags.Base.Copyright] == "A. Photographer"
    assert kept.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] == TAKEN
    assert ExifTags.Base.Orientation not in kept


def test_without_a_request_only_the_resolution_is_kept(call: Call, photograph: Path) -> None:
    picture = result(call, photograph)
    assert picture.size == (24, 32)
    assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)
    assert not picture.getexif()
