"""A cache keeps to its size, also when several threads use it."""

import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from pipeline.cache import Cache

MOST = 1000


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads are interrupted after a few instructions."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


def test_a_value_that_is_used_stays() -> None:
    cache = Cache[bytes](MOST, len)
    for number in range(20):
        cache.keep(f"content {number}", bytes(400))
        if number == 0:
            cache.keep("style", bytes(400))
        assert cache.find("style")
    cache.keep("too large", bytes(MOST + 1))
    assert cache.find("style")


def test_a_value_is_made_once_while_it_is_kept() -> None:
    cache, made = Cache[bytes](MOST, len), list[str]()

    def make(key: str) -> bytes:
        made.append(key)
        return bytes(400)

    for key in ("a", "b", "a", "c", "b"):
        assert cache.found_or_made(key, partial(make, key)) == bytes(400)
    assert made == ["a", "b", "c", "b"]


def test_the_values_that_were_kept_first_go_first() -> None:
    cache = Cache[bytes](MOST, len)
    for key in ("a", "b", "a", "c"):
        cache.keep(key, bytes(400))
    assert cache.find("b") is None
    assert cache.find("a")
    assert cache.find("c")
    cache.keep("too large", bytes(MOST + 1))
    assert cache.find("too large") is None


def test_several_threads_use_all_of_its_bytes_and_no_more(hasty: None) -> None:
    cache, errors = Cache[bytes](MOST, len), list[Exception]()
    barrier = threading.Barrier(8)

    def work(seed: int) -> None:
        barrier.wait()
        try:
            for number in range(2000):
                cache.keep(f"{(seed + number) % 5}", bytes((seed * number) % 400))
        except Exception as error:
            errors.append(error)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert errors == []
    names = [f"new {number}" for number in range(11)]
    for name in names:
        cache.keep(name, bytes(MOST // 10))
    assert [name for name in names if cache.find(name)] == names[1:]
