"""Pairs that a CPU computes side by side, in threads."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from PIL import Image

from nst import Evaluation, NSTError, PreviewCallbacks, Stylizer
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared


@pytest.fixture
def stylizer(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stylizer]:
    """The shared one; it computes two pairs at a time, each with one of two cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(stylizer, "side_by_side", 2)
    yield stylizer
    torch.set_num_threads(before)


@pytest.fixture
def give(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """A function that gives so many bytes of memory, whatever is free now."""
    memory = stylizer.targets.memory
    monkeypatch.setattr(memory, "given", 2)
    return lambda size: monkeypatch.setattr(memory, "bytes", size)


def test_a_pair_has_the_picture_that_it_has_alone_with_as_many_cores(stylizer: Stylizer) -> None:
    pairs = [prepared(1, style=5), prepared(3, style=6)]
    together = stylizer.run(pairs)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    for pair, result in zip(pairs, together, strict=True):
        (alone,) = stylizer.run([pair])
        assert result.image.tobytes() == alone.image.tobytes()
        assert result.losses == alone.losses


def test_a_batch_of_more_pairs_is_computed_together(stylizer: Stylizer) -> None:
    indices: list[int] = []
    results = stylizer.run(
        [prepared(seed, **SHALLOW) for seed in (1, 3, 4)], lambda index, _: indices.append(index)
    )
    assert len({result.image.tobytes() for result in results}) == 3
    assert indices == [0, 1, 2] * 20


def test_evaluations_have_the_index_of_their_pair_and_keep_their_order(stylizer: Stylizer) -> None:
    received: list[tuple[int, Evaluation]] = []
    results = stylizer.run(
        [prepared(1, **SHALLOW), prepared(3, **SHALLOW)], lambda i, e: received.append((i, e))
    )
    for index, result in enumerate(results):
        assert [e for i, e in received if i == index] == result.evaluations
    assert results[0].evaluations != results[1].evaluations


def test_the_seconds_of_all_pairs_are_the_time_that_they_took_together(stylizer: Stylizer) -> None:
    reported: tuple[list[float], list[float]] = [], []
    began = time.perf_counter()
    results = stylizer.run(
        [prepared(1, **SHALLOW), prepared(3, **SHALLOW)],
        lambda index, _: reported[index].append(time.perf_counter()),
    )
    took = time.perf_counter() - began
    assert sum(result.seconds for result in results) <= took
    for result, times in zip(results, reported, strict=True):
        assert result.seconds >= (times[-1] - times[0]) / 2


def test_an_error_of_the_callback_ends_all_pairs(stylizer: Stylizer) -> None:
    received: list[int] = []

    def stop(index: int, evaluation: Evaluation) -> None:
        received.append(index)
        if index == 1:
            raise KeyError("enough")

    with pytest.raises(KeyError):
        stylizer.run([prepared(seed, epochs=50, tolerance=0) for seed in (1, 3)], stop)
    assert received.count(1) == 1
    assert received.count(0) < 1000
    assert torch.get_num_threads() == 2


def test_the_error_of_a_pair_is_raised_and_the_others_can_be_run_again(stylizer: Stylizer) -> None:
    good = prepared(1, **SHALLOW)
    bad = replace(good, starts=torch.full_like(good.starts, math.nan))
    with pytest.raises(NSTError, match="not a finite number"):
        stylizer.run([good, bad])
    assert stylizer.run([good, good])[0].losses.total > 0


def test_a_preview_is_of_the_pair_that_was_asked_for(stylizer: Stylizer) -> None:
    due, shown = [[0, 1]], list[tuple[int, Image.Image]]()
    previews = PreviewCallbacks(
        lambda: due.pop() if due else [], lambda index, image: shown.append((index, image)), 16
    )
    pairs = [prepared(seed, epochs=2, **SHALLOW) for seed in (1, 3)]
    with_previews = stylizer.run(pairs, previews=previews)
    assert sorted(index for index, _ in shown) == [0, 1]
    assert all(image.size == (16, 13) for _, image in shown)
    without = stylizer.run(pairs)
    assert [r.image.tobytes() for r in with_previews] == [r.image.tobytes() for r in without]


def test_as_many_pairs_go_together_as_fit_into_the_memory(
    stylizer: Stylizer, give: Callable[[int], None]
) -> None:
    pair = prepared(size=(512, 512))
    for memory, expected in ((19 * 10**8, 2), (10**9, 1)):
        give(memory)
        assert stylizer.capacity(pair) == expected


def test_room_for_one_style_is_left_beside_the_pictures(
    stylizer: Stylizer, give: Callable[[int], None]
) -> None:
    give(19 * 10**8)
    assert stylizer.capacity(prepared(size=(512, 256), style_scale=1)) == 2
    assert stylizer.capacity(prepared(size=(512, 256), style_scale=2)) == 1
