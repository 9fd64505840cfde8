"""How the C library of Linux, glibc, keeps memory that tensors have freed.

By default glibc gets each buffer of more than 32 MB from the system, and gives it back once it is free, as it
does with smaller ones at the end of its heap. The system fills each page of 4 kB with zeros when it is used
for the first time. An evaluation of 1024 px touches 650,000 new pages in this way, which takes a quarter of
its time. So during a run on a CPU the process keeps freed memory. It takes more then, because a buffer does
not always fit into the memory of earlier ones.
"""

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Numbers of parameters in glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER = -1
# Outside of runs: the default, and what glibc itself chooses once it has freed a large buffer.
_USUAL_MMAP_MAX, _USUAL_TRIM_THRESHOLD = 65_536, 64 * 2**20


def use_one_heap() -> None:
    """Let all threads that start later use the heap of the process.

    Otherwise each has a heap of its own, which cannot keep buffers of more than 64 MB. The environment
    variable `MALLOC_ARENA_MAX` takes precedence.
    """
    if "MALLOC_ARENA_MAX" not in os.environ:
        _set(_ARENA_MAX, 1)


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Let the whole process keep memory that is freed meanwhile, and give what is free back at the end."""
    _set(_MMAP_MAX, 0)
    _set(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        _set(_MMAP_MAX, _USUAL_MMAP_MAX)
        _set(_TRIM_THRESHOLD, _USUAL_TRIM_THRESHOLD)
        give_back()


def give_back() -> None:
    """Give all memory back that is free now.

    Call it before buffers of other sizes are made, which would not fit into this memory: it lowers the peak.
    """
    if _library:
        _library.malloc_trim(0)


def _load() -> ctypes.CDLL | None:
    """The C library if it is glibc."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "gnu_get_libc_version") else None


def _set(parameter: int, value: int) -> None:
    if _library:
        _library.mallopt(parameter, value)


_library = _load()
