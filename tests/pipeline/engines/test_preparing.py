"""The memory that it takes to prepare a pair is known before any image is decoded."""

from pathlib import Path
from typing import Any

import pytest

from nst import Parameters, images
from pipeline.engines.preparing import Files, preparing_bytes
from pipeline.manifest.models import Pair, StyleEntry
from tests.conftest import make_png
from tests.nst.files import file_of, plain
from tests.pipeline.engines.test_prepare import write_large_mask

MOST = images.MOST_PIXELS


def needed(files: dict[str, bytes], *styles: StyleEntry, keep: str | None = None, **parameters: Any) -> int:
    """The bytes for a pair of the content `c` with these styles."""
    chosen = Parameters.model_validate(parameters)
    pair = Pair(id="p", place="", content="c", styles=styles, keep=keep, parameters=chosen)
    states: Files = {name: (data, None) for name, data in files.items()}
    return preparing_bytes(pair, states, MOST)


@pytest.mark.filterwarnings("ignore")  # as in the program, which decodes pictures that Pillow finds large
@pytest.mark.parametrize("style_scale", [0.1, 1])
def test_a_mask_counts_in_the_size_in_which_it_is_decoded(tmp_path: Path, style_scale: float) -> None:
    write_large_mask(tmp_path / "mask.png")
    mask = (tmp_path / "mask.png").read_bytes()
    files = {"c": make_png(), "s": make_png(64, 64), "mask": mask}
    found = needed(files, StyleEntry(image="s"), keep="mask", max_size=8000, style_scale=style_scale)
    assert found >= images.decoding_bytes(mask, 8000) > images.decoding_bytes(mask, 800)


def test_a_file_that_is_not_an_image_counts_nothing() -> None:
    style = file_of(plain("RGB", "red"), "PNG")
    assert needed({"c": b"text", "s": style}, StyleEntry(image="s")) == images.decoding_bytes(style)
