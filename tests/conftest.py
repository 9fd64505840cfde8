"""Pictures and a network that tests share. The pictures are generated, not read from files."""

import io
import os
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from nst import Stylizer
    from nst.vgg import VGG19
    from nst.weights import Weights

# The program as a separate process, with an engine that computes nothing: to import torch takes seconds.
FAKE_COMMAND = [sys.executable, "-m", "tests.program", "{}", "fake"]
# Settings that make it fast with small pictures if it computes them.
QUICK_SETTINGS = {"OMP_NUM_THREADS": "1", "NST_DEVICE": "cpu", "NST_DTYPE": "fp32"}
# A network of one layer, to save time.
SHALLOW: dict[str, Any] = {"content_layers": {"relu1_1": 1.0}, "style_layers": {"relu1_1": 1.0}}

# With pictures this small, a second thread does not save time. Torch reads this when it is imported, which
# takes seconds: only tests that need it import it.
os.environ["OMP_NUM_THREADS"] = "1"


# How the names of the files begin whose tests take longest. The tests of one entry go to one process, because
# they share servers.
_LONG = (
    *("test_ray", "test_chaos.py", "test_watch.py", "test_program.py"),
    *("test_crashes.py", "test_stylizer.py", "test_poison.py", "test_tiles.py"),
    *("test_faults.py", "test_heap.py", "test_s3.py", "test_sqs.py"),
)


@pytest.hookimpl(trylast=True)  # when the tests that are left out because of their marks are gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each process begin with long tests, so that none begins one when the others have ended.

    The processes get parts of the same size of this order, and take from each other's ends.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    rest = iter([item for item in items if not item.path.name.startswith(_LONG)])
    size = -(-len(items) // processes)
    ordered = list[pytest.Item]()
    for number in range(processes):
        long = [item for item in items if item.path.name.startswith(_LONG[number::processes])]
        ordered += [*long, *islice(rest, max(0, size - len(long)))]
    items[:] = [*ordered, *rest]


def make_picture(width: int = 48, height: int = 40, seed: int = 0) -> Image.Image:
    """A picture of soft coloured spots, which has enough structure for the network."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)


def make_png(width: int = 48, height: int = 40, seed: int = 0) -> bytes:
    """The same picture as the bytes of a PNG file."""
    file = io.BytesIO()
    make_picture(width, height, seed).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="session")
def weights() -> "Weights":
    from nst.weights import load_weights

    return load_weights()


@pytest.fixture(scope="session")
def vgg(weights: "Weights") -> "VGG19":
    from nst.vgg import VGG19

    return VGG19(weights)


@pytest.fixture(scope="session")
def stylizer() -> "Stylizer":
    from nst import Stylizer

    return Stylizer(device="cpu", dtype="fp32")


@pytest.fixture
def content() -> Image.Image:
    return make_picture(seed=1)


@pytest.fixture
def style() -> Image.Image:
    return make_picture(64, 64, seed=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with `content.png` and `style.png`."""
    make_picture(seed=1).save(tmp_path / "content.png")
    make_picture(64, 64, seed=2).save(tmp_path / "style.png")
    return tmp_path
