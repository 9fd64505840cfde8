"""How the C library of Linux, glibc, keeps memory that tensors have freed.

By default glibc gets each buffer of more than 32 MB from the system, and gives it back once it is free, as it
does with smaller ones at the end of its heap. The system fills each page of 4 kB with zeros when it is used
for the first time. An evaluation of 1024 px touches 650,000 new pages in this way, which takes a third of its
time. So a process that computes pictures on a CPU keeps freed memory, until a run has ended.
"""

import ctypes
import sys

# Numbers of parameters in glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_ALL = 2**31 - 1


def use_one_heap() -> None:
    """Let all threads that start later use the heap of the process.

    Otherwise each has a heap of its own, which cannot keep buffers of more than 64 MB.
    """
    _set(_ARENA_MAX, 1)


def keep_freed() -> None:
    """Keep all memory that is freed from now on, for the whole process, until `give_back` is called."""
    _set(_MMAP_MAX, 0)
    _set(_TRIM_THRESHOLD, _ALL)


def give_back() -> None:
    """Give memory that is free back to the system. It takes milliseconds."""
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
