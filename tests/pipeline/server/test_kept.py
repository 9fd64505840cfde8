import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import StoreError
from pipeline.server.kept import Kept


def counting() -> tuple[list[int], Kept[int]]:
    calls: list[int] = []

    def action() -> int:
        calls.append(len(calls))
        return calls[-1]

    return calls, Kept(action, 3600, lambda: 0.0)


def test_a_value_is_computed_once_until_it_is_forgotten() -> None:
    calls, kept = counting()
    assert [kept.get(), kept.get()] == [0, 0]
    kept.forget()
    assert [kept.get(), kept.get()] == [1, 1]
    assert len(calls) == 2


def test_without_a_time_nothing_is_kept() -> None:
    values = iter(range(9))
    kept = Kept(lambda: next(values), 0, lambda: 0.0)
    assert [kept.get(), kept.get()] == [0, 1]


def test_a_value_that_was_forgotten_while_it_was_computed_is_not_kept() -> None:
    values = iter(range(9))

    def action() -> int:
        kept.forget()
        return next(values)

    kept = Kept(action, 3600, lambda: 0.0)
    assert [kept.get(), kept.get()] == [0, 1]


def test_an_error_is_not_kept() -> None:
    values: list[int | None] = [None, 7]

    def action() -> int:
        value = values.pop(0)
        if value is None:
            raise StoreError("away")
        return value

    kept = Kept(action, 3600, lambda: 0.0)
    with pytest.raises(StoreError, match="away"):
        kept.get()
    assert kept.get() == 7


def test_callers_that_waited_for_a_call_that_fails_do_not_repeat_it() -> None:
    calls, begun, opened = list[int](), threading.Event(), threading.Event()
    waiting = threading.Semaphore(0)

    def action() -> int:
        calls.append(len(calls))
        begun.set()
        assert opened.wait(60)
        raise StoreError("away")

    def clock() -> float:
        now = time.monotonic()
        waiting.release()  # each caller reads the clock before it waits
        return now

    kept = Kept(action, 3600, clock)
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(kept.get)]
        assert begun.wait(60)
        while waiting.acquire(blocking=False):
            pass
        asked += [pool.submit(kept.get) for _ in range(3)]
        assert all(waiting.acquire(timeout=60) for _ in range(3))
        opened.set()
        assert [str(each.exception(60)) for each in asked] == ["away"] * 4
    assert len(calls) == 1


def test_a_slow_call_is_not_repeated_at_once_after_its_result_was_forgotten() -> None:
    now, values = [0.0], iter(range(9))

    def slow() -> int:
        now[0] += 2
        return next(values)

    kept = Kept(slow, 3600, lambda: now[0])
    assert kept.get() == 0
    kept.forget()
    for now[0], value in ((2, 0), (21.9, 0), (22, 1), (100, 1)):
        assert kept.get() == value
