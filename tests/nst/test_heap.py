"""What becomes of memory that tensors have freed, in processes of their own."""

import platform
import subprocess
import sys

import pytest

from nst import Stylizer, heap
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

# Functions for the size of this process in MB, and for how many pages it has touched for the first time.
MEASURE = """
import ctypes, os, resource, threading
from contextlib import nullcontext

_PR_SET_THP_DISABLE = 41  # large pages would hide how many small ones are touched
ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)

def touched():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def megabytes():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 10**6
"""
# The new pages of an evaluation, without and with memory that is kept, and the megabytes that the process has
# taken and not given back. Evaluations are in a thread, as those of the engine are. The features of one have
# 38 MB, which is 9,200 pages. glibc gives buffers above 32 MB back by default. The median counts, because the
# heap grows by a buffer now and then.
RUNS = """
from nst import Stylizer, heap
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

stylizer, pair = Stylizer(device="cpu", dtype="fp32"), prepared(size=(384, 384), **SHALLOW)
kept, before = heap.freed_memory_kept, megabytes()
for heap.freed_memory_kept in nullcontext, kept:
    counts, sizes = [], []
    run = lambda: stylizer.run([pair], lambda *_: (counts.append(touched()), sizes.append(megabytes())))
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    print(sorted(after - before for before, after in zip(counts[9:], counts[10:]))[5])
print(max(sizes) - before)
print(megabytes() - before)
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="the C library is not glibc",
)


def printed(lines: str) -> list[int]:
    """The numbers that these lines of Python print."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE + lines], capture_output=True, text=True, timeout=300
    )
    assert not done.stderr
    return [int(number) for number in done.stdout.split()]


def test_an_evaluation_uses_the_memory_of_the_one_before_and_a_run_gives_it_back() -> None:
    usual, kept, taken, left = printed(RUNS)
    assert kept < 500
    assert left < 50
    # Otherwise this test would prove nothing.
    assert usual > 9_000
    assert taken > 200


def test_memory_that_is_kept_can_be_given_back() -> None:
    kept, left = printed("""
import torch
from nst import heap

with heap.freed_memory_kept():
    numbers = torch.ones(50_000_000)
    del numbers
    print(megabytes())
    heap.give_back()
    print(megabytes())
""")
    assert kept - left > 150


@pytest.mark.parametrize(("size", "times"), [((640, 480), 3), ((512, 384), 0)])
def test_freed_memory_of_a_large_picture_is_given_back_before_buffers_of_other_sizes(
    stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], times: int
) -> None:
    pair, calls = prepared(size=size, epochs=1, **SHALLOW), list[None]()
    monkeypatch.setattr(heap, "give_back", lambda: calls.append(None))
    stylizer.run([pair])
    # Before each scale but the first one, before the losses of the result, and in any case after the run.
    assert len(calls) == times + 1


def test_the_switch_for_large_pages_is_on_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "import nst; print(os.environ['THP_MEM_ALLOC_ENABLE'])"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert printed(line) == [1]
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert printed(line) == [0]
