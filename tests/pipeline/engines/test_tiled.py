import re
from dataclasses import replace
from pathlib import Path

import torch

from nst import Stylizer
from nst.memory import Demand, least
from pipeline.engines.tiled import note_of_tiles
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared
from tests.pipeline.engines.test_local import tasks


def test_a_pair_in_tiles_is_announced_with_its_size_and_the_time_that_it_takes(folder: Path) -> None:
    stylizer = Stylizer(device="cpu", dtype="fp32")
    pair = prepared(size=(720, 540), **SHALLOW)
    task = replace(tasks(folder, ["content.png"])[0], manifest="m")
    assert note_of_tiles(stylizer, task, pair) is None
    stylizer.targets.memory.bytes = least(Demand.of(pair), stylizer.device, torch.float32)
    note = note_of_tiles(stylizer, task, pair)
    assert note
    expected = (
        r"pairs\[0\]: 720x540 is computed in tiles of at most 0\.3 megapixels; this takes up to \d+ minutes"
    )
    assert re.fullmatch(expected, note.message)
    assert note.details == {"manifest": "m", "pair": "0"}
