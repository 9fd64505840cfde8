"""The memory that it takes to prepare a pair is known before any image is decoded."""

from pathlib import Path
from typing import Any

import pytest

from nst import Parameters, images
from nst.masks import regions_bytes
from pipeline.engines.files import ImageFile
from pipeline.engines.prepare_memory import preparing_bytes
from pipeline.manifest.models import Pair, StyleEntry
from tests.conftest import make_png
from tests.nst.files import file_of, plain
from tests.pipeline.engines.test_prepare import write_large_mask

MOST = images.MOST_PIXELS
MASK = file_of(plain("L", 255), "PNG")


def needed(files: dict[str, bytes], *styles: StyleEntry, keep: str | None = None, **parameters: Any) -> int:
    """The bytes for a pair of the content `c` with these styles."""
    chosen = Parameters.model_validate(parameters)
    pair = Pair(id="p", place="", content="c", styles=styles, keep=keep, parameters=chosen)
    return preparing_bytes(pair, {name: ImageFile(name, data) for name, data in files.items()}, MOST)


@pytest.mark.filterwarnings("ignore")  # as in the program, which decodes pictures that Pillow finds large
@pytest.mark.parametrize("style_scale", [0.1, 1])
def test_a_mask_counts_in_the_size_in_which_it_is_decoded(tmp_path: Path, style_scale: float) -> None:
    write_large_mask(tmp_path / "mask.png")
    mask = (tmp_path / "mask.png").read_bytes()
    files = {"c": make_png(), "s": make_png(64, 64), "mask": mask}
    found = needed(files, StyleEntry(image="s"), keep="mask", max_size=8000, style_scale=style_scale)
    assert found >= images.header(mask, 8000).memory > images.header(mask, 800).memory


def test_all_styles_and_masks_of_a_pair_count_because_they_stay_in_memory() -> None:
    files = {"c": make_png(), "mask": file_of(plain("L", 255, (500, 500)), "PNG")}
    files |= {f"s{n}": make_png(500, 500, n) for n in range(3)}
    entries = [StyleEntry(image=f"s{n}") for n in range(3)]
    counted = [needed(files, *entries[:number], max_size=500) for number in (1, 2, 3)]
    assert counted[2] - counted[1] == counted[1] - counted[0] == 4 * 500**2
    again = needed(files, entries[0], entries[0], max_size=500)
    assert again == counted[0]
    with_part = StyleEntry(image="s0", image_region="mask")
    assert needed(files, with_part, max_size=500) == counted[0] + 500**2
    for number in (1, 2):
        found = needed(files, *[entries[0]] * number, max_size=500, preserve_color=True)
        assert found == counted[0] + number * 4 * 500**2


def test_regions_count_in_the_size_of_the_result() -> None:
    files = {"c": make_png(60, 40), "s": make_png(16, 16), "a": MASK, "b": MASK}
    one, two = StyleEntry(image="s", region="a"), StyleEntry(image="s", region="b")
    enlarged: dict[str, Any] = {"max_size": 3000, "enlarge": True}
    plain_pair = needed(files, StyleEntry(image="s"), **enlarged)
    for styles, keep, count in (((one,), None, 1), ((one, two), None, 2), ((one, one), "b", 1)):
        found = needed(files, *styles, keep=keep, **enlarged) - plain_pair
        expected = regions_bytes((3000, 2000), count)
        assert expected - 10_000 < found < expected + 10_000  # the rest is for the small images
    assert needed(files, one, max_size=60) - needed(files, StyleEntry(image="s"), max_size=60) < 10**6


def test_a_file_that_is_not_an_image_counts_nothing() -> None:
    style = file_of(plain("RGB", "red"), "PNG")
    assert (
        needed({"c": b"text", "s": style}, StyleEntry(image="s")) == images.header(style).memory + 4 * 20**2
    )
