"""Pictures that take much memory while they are decoded are not decoded at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from nst import Parameters, images
from nst.images import Picture
from pipeline.engines.budget import Budget
from pipeline.engines.prepare import Preparer
from pipeline.manifest.models import Pair, StyleEntry
from pipeline.stores.folder import FolderStore
from pipeline.stores.sources import Sources
from tests.conftest import make_picture


class Decoding:
    """Stands in for `images.decode`: counts calls at the same time, and waits a moment for a second one."""

    def __init__(self, picture: Image.Image) -> None:
        """It returns this picture."""
        self._picture = Picture(picture)
        self.now = self.peak = 0
        self._lock, self._second = threading.Lock(), threading.Event()

    def __call__(self, data: bytes, long_side: int, most_pixels: int) -> Picture:
        with self._lock:
            self.now += 1
            self.peak = max(self.peak, self.now)
            if self.now == 2:
                self._second.set()
        self._second.wait(0.5)
        with self._lock:
            self.now -= 1
        return self._picture


@pytest.mark.filterwarnings("ignore")  # as in the program, which decodes pictures that Pillow finds large
@pytest.mark.parametrize(("side", "peak"), [(20, 2), (6000, 1), (8000, 1), (11_000, 2)])
def test_two_pictures_are_decoded_at_once_only_if_both_fit_into_the_budget(
    folder: Path, monkeypatch: pytest.MonkeyPatch, side: int, peak: int
) -> None:
    # The largest one is shrunk while it is decoded, so that it takes little memory.
    Image.new("1", (side, side)).save(folder / "content.png")
    decoding = Decoding(make_picture())
    monkeypatch.setattr(images, "decode", decoding)
    prepare_twice(folder, Parameters(max_size=32))
    assert decoding.peak == peak


@pytest.mark.parametrize(("enlarge", "peak"), [(False, 2), (True, 1)])
def test_memory_for_an_enlarged_content_counts_in_the_budget(
    folder: Path, monkeypatch: pytest.MonkeyPatch, enlarge: bool, peak: int
) -> None:
    Image.new("1", (20, 20)).save(folder / "content.png")
    decoding = Decoding(make_picture(500, 16))  # of few pixels when it is enlarged
    monkeypatch.setattr(images, "decode", decoding)
    prepare_twice(folder, Parameters(max_size=8000, enlarge=enlarge))
    assert decoding.peak == peak


def prepare_twice(folder: Path, parameters: Parameters) -> None:
    """Prepare a pair of the folder's images in two threads at the same time."""
    styles = (StyleEntry(image="style.png"),)
    pair = Pair(id="p", place="", content="content.png", styles=styles, parameters=parameters)
    preparer, sources = Preparer(""), Sources(FolderStore(folder))
    inputs = preparer.read(pair, sources)
    with ThreadPoolExecutor(2) as pool:
        assert len(list(pool.map(lambda _: preparer.prepare(pair, inputs), range(2)))) == 2


def test_threads_take_no_more_than_the_budget_together() -> None:
    budget, lock, sizes = Budget(100), threading.Lock(), [30, 60, 1000, 10, 100, 0, 45] * 30
    taken, peak, alone = list[int](), 0, True

    def use(size: int) -> None:
        nonlocal peak, alone
        with budget.taken(size):
            with lock:
                taken.append(size)
                peak = max(peak, sum(taken) if size <= 100 else 0)
                alone &= size < 1000 or sum(taken) == size
            with lock:
                taken.remove(size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, sizes))
    assert 0 < peak <= 100
    assert alone


def test_what_was_taken_is_free_after_an_error() -> None:
    budget = Budget(100)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), budget.taken(100):
            raise ZeroDivisionError
    with budget.taken(100):
        pass
