"""What becomes of memory that tensors have freed, in processes of their own."""

import platform
import subprocess
import sys

import pytest

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
# Evaluations in a thread, as those of the engine are. The features of one have 38 MB, which is 9,200 pages.
# glibc gives buffers above 32 MB back by default.
# Now and then the heap grows by a buffer, so the median counts.
IN_A_THREAD = """
from nst import Stylizer
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

counts = []
stylizer, pair = Stylizer(device="cpu", dtype="fp32"), prepared(size=(384, 384), **SHALLOW)
run = lambda: stylizer.run([pair], lambda index, evaluation: counts.append(touched()))
thread = threading.Thread(target=run)
thread.start()
thread.join()
print(sorted(after - before for before, after in zip(counts[9:], counts[10:]))[5])
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="the C library is not glibc",
)


def printed(*parts: str) -> int:
    """The number that these lines of Python print."""
    command = [sys.executable, "-c", MEASURE + "".join(parts)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert not done.stderr
    return int(done.stdout)


def test_an_evaluation_uses_the_memory_of_the_one_before() -> None:
    assert printed(IN_A_THREAD) < 500
    # Otherwise this test would prove nothing.
    assert printed("from nst import heap\nheap.freed_memory_kept = nullcontext\n", IN_A_THREAD) > 9_000


def test_after_a_run_the_process_has_given_free_memory_back() -> None:
    run = """
from nst import Stylizer
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

stylizer = Stylizer(device="cpu", dtype="fp32")
stylizer.run([prepared()])
before, during = megabytes(), []
stylizer.run([prepared(size=(256, 256), **SHALLOW)], lambda index, evaluation: during.append(megabytes()))
assert max(during) > before + 150, during
print(megabytes() - before)
"""
    assert printed(run) < 50


def test_the_switch_for_large_pages_is_on_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = "import nst; print(os.environ['THP_MEM_ALLOC_ENABLE'])"
    monkeypatch.delenv("THP_MEM_ALLOC_ENABLE", raising=False)
    assert printed(line) == 1
    monkeypatch.setenv("THP_MEM_ALLOC_ENABLE", "0")
    assert printed(line) == 0
