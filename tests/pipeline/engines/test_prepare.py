import io
import json
from pathlib import Path

import pytest
from PIL import Image

from nst import ImageError
from pipeline.engines.encode import thumbnail
from pipeline.engines.prepare import Prepared, Preparer
from pipeline.errors import StoreError
from pipeline.stores.opening import Stores
from pipeline.work.job import job_of_file
from tests.conftest import make_picture, make_png
from tests.nst.files import file_of


def test_thumbnails_of_content_and_style_have_the_same_size(folder: Path) -> None:
    make_picture(256, 200).save(folder / "content.png")
    make_picture(300, 300).save(folder / "style.png")
    (folder / "m.json").write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    job = job_of_file(folder / "m.json", Stores().sources(str(folder)))
    preparer = Preparer("")
    prepared = preparer.prepare(job.pairs[0], preparer.read(job.pairs[0], job.sources))
    shown = [Image.open(io.BytesIO(thumbnail(image))) for image in prepared.thumbnails.values()]
    assert [max(image.size) for image in shown] == [256, 256]


@pytest.mark.parametrize(("side", "shown"), [(400, 256), (100, 100)])
def test_the_thumbnail_of_a_content_does_not_depend_on_the_size_of_the_result(
    folder: Path, side: int, shown: int
) -> None:
    for max_size in (64, 512):
        found = prepared(folder, make_png(side, side), max_size=max_size)
        small = Image.open(io.BytesIO(thumbnail(found.thumbnails[found.content.thumbnail])))
        assert small.size == (shown, shown)


def test_the_images_of_a_pair_have_a_limited_number_of_bytes_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "large").write_bytes(bytes(1500))
    monkeypatch.setattr("pipeline.engines.prepare._MOST_BYTES", 4000)
    paths = [f"{'./' * number}large" for number in range(3)]
    (folder / "m.json").write_text(json.dumps({"content": paths[0], "styles": [{"image": p} for p in paths]}))
    job = job_of_file(folder / "m.json", Stores().sources(str(folder)))
    with pytest.raises(StoreError, match=r"^\./\./large: the images of this pair have more than .* together"):
        Preparer("").read(job.pairs[0], job.sources)


def test_a_style_of_several_pairs_is_decoded_and_resized_once(folder: Path) -> None:
    make_picture(300, 300).save(folder / "content.png")
    make_picture(600, 600).save(folder / "style.png")
    pairs = [{"id": f"{n}", "content": "content.png", "style": "style.png", "seed": n} for n in range(2)]
    (folder / "m.json").write_text(json.dumps({"defaults": {"max_size": 256}, "pairs": pairs}))
    job, preparer = job_of_file(folder / "m.json", Stores().sources(str(folder))), Preparer("")
    (first, _), (second, _) = (
        preparer.prepare(pair, preparer.read(pair, job.sources)).pair.styles[0] for pair in job.pairs
    )
    assert first is second
    assert first.image.size == (256, 256)


def test_a_style_that_was_shrunk_for_a_small_pair_is_decoded_again_for_a_larger_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nst.decoding.decode._WHOLE", 2**20)
    make_picture(1600, 1200).save(folder / "content.png")
    make_picture(2000, 2000).save(folder / "style.jpg")
    pairs = [
        {"id": f"{side}", "content": "content.png", "style": "style.jpg", "max_size": side}
        for side in (300, 1600)
    ]
    (folder / "m.json").write_text(json.dumps({"pairs": pairs}))
    job, preparer = job_of_file(folder / "m.json", Stores().sources(str(folder))), Preparer("")
    styles = [
        preparer.prepare(pair, preparer.read(pair, job.sources)).pair.styles[0][0] for pair in job.pairs
    ]
    assert [style.image.size for style in styles] == [(300, 300), (1600, 1600)]


def prepared(folder: Path, content: bytes, **pair: object) -> Prepared:
    """The only pair of a manifest with this content, prepared."""
    (folder / "content").write_bytes(content)
    document = {"content": "content", "style": "style.png", **pair}
    (folder / "m.json").write_text(json.dumps(document))
    job, preparer = job_of_file(folder / "m.json", Stores().sources(str(folder))), Preparer("")
    return preparer.prepare(job.pairs[0], preparer.read(job.pairs[0], job.sources))


def test_content_and_style_are_prepared_for_the_size_of_an_enlarged_result(folder: Path) -> None:
    make_picture(300, 200).save(folder / "style.png")
    found = prepared(folder, make_png(60, 40), max_size=300, enlarge=True, style_scale=0.5).pair
    assert found.contents[-1].size == (300, 200)
    assert found.styles[0][0].image.size == (150, 100)


@pytest.mark.parametrize(("given", "expected"), [({}, (240, 120)), ({"dpi": 300}, (300, 300))])
def test_the_resolution_is_that_of_the_manifest_or_else_of_the_content(
    folder: Path, given: dict[str, object], expected: tuple[float, float]
) -> None:
    content = file_of(make_picture(), "JPEG", dpi=(240, 120))
    assert prepared(folder, content, **given).dpi == pytest.approx(expected)


def test_a_transparent_content_is_refused_for_tiff_with_its_name_and_the_remedy(folder: Path) -> None:
    picture = make_picture(32, 24).convert("RGBA")
    opaque = file_of(picture, "PNG")
    assert prepared(folder, opaque, format="tiff").pair.alpha is None
    picture.putpixel((0, 0), (9, 9, 9, 254))
    transparent = file_of(picture, "PNG")
    assert prepared(folder, transparent, format="webp").pair.alpha
    with pytest.raises(ImageError) as caught:
        prepared(folder, transparent, format="tiff")
    remedy = 'use "format": "png" or "webp"'
    assert str(caught.value) == f"content: it is transparent, which TIFF results cannot be; {remedy}"


@pytest.mark.parametrize(("max_size", "known"), [(32, True), (24, False)])
def test_the_colours_of_a_transparent_content_are_known_if_it_is_not_scaled(
    folder: Path, max_size: int, known: bool
) -> None:
    picture = make_picture(32, 24).convert("RGBA")
    picture.putalpha(9)
    found = prepared(folder, file_of(picture, "PNG"), max_size=max_size).pair.colors
    assert (found.tobytes() if found else None) == (picture.convert("RGB").tobytes() if known else None)


@pytest.mark.filterwarnings("ignore")  # as in the program, which decodes pictures that Pillow finds large
@pytest.mark.parametrize(("size", "enlarge"), [((100, 25), False), ((100, 25), True), ((9000, 80), False)])
def test_a_large_mask_is_shrunk_to_no_less_than_twice_the_size_of_the_result(
    folder: Path, size: tuple[int, int], enlarge: bool
) -> None:
    write_large_mask(folder / "mask.png")
    found = prepared(folder, make_png(*size), keep="mask.png", max_size=2000, enlarge=enlarge)
    assert max(image.width for image in found.thumbnails.values()) == 4100


def write_large_mask(path: Path) -> None:
    """A mask of 16,400 x 4,100 pixels, so large that it is shrunk while it is decoded."""
    mask = Image.new("L", (16_400, 4_100))
    mask.paste(255, (0, 0, 8_200, 4_100))
    mask.save(path, compress_level=1)
