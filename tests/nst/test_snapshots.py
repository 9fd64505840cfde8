"""Snapshots: how many a pair has and when, what they show, and that they change no result."""

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from nst import Parameters, Stylizer
from nst.result import Result
from nst.snapshots import LONG_SIDE, Snapshots, moments
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared


def run(stylizer: Stylizer, **parameters: object) -> Result:
    """The result of a pair with a shallow network unless `parameters` differ."""
    (result,) = stylizer.run([prepared(**{**SHALLOW, **parameters})])
    return result


def steps(result: Result) -> list[int]:
    return [snapshot.step for snapshot in result.snapshots]


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures of one size, in levels of 255."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize(
    ("count", "evaluations", "expected"),
    [
        (0, 200, []),
        (2, 200, [1]),
        (3, 100, [1, 10]),
        (12, 200, [1, 2, 3, 4, 7, 11, 18, 29, 47, 76, 124]),
        (60, 20, list(range(1, 20))),
    ],
)
def test_moments_grow_by_a_factor_and_differ(count: int, evaluations: int, expected: list[int]) -> None:
    assert moments(count, evaluations) == expected


@pytest.mark.parametrize("count", range(2, 61))
def test_there_are_as_many_moments_as_wanted_where_there_are_enough_evaluations(count: int) -> None:
    for evaluations in (2 * 60, 200, 20_000):
        found = moments(count, evaluations)
        assert found == sorted(set(found))
        assert len(found) == count - 1
        assert found[0] == 1 and found[-1] < evaluations


@pytest.mark.parametrize("preserve_color", [False, True])
def test_results_are_the_same_bit_for_bit_with_and_without_snapshots(
    stylizer: Stylizer, preserve_color: bool
) -> None:
    options = {"size": (192, 32), "epochs": 1, "preserve_color": preserve_color}
    plain, shown = run(stylizer, **options), run(stylizer, **options, snapshots=12)
    assert plain.image.tobytes() == shown.image.tobytes()
    assert [e.losses for e in plain.evaluations] == [e.losses for e in shown.evaluations]
    assert plain.losses == shown.losses
    assert (len(plain.snapshots), len(shown.snapshots)) == (0, 12)


def test_the_first_snapshot_is_the_start_and_the_last_one_the_result(stylizer: Stylizer) -> None:
    result = run(stylizer, size=(96, 64), init="random", epochs=2, snapshots=5)
    first, *_, last = result.snapshots
    assert (first.step, last.step) == (1, len(result.evaluations))
    assert last.image.tobytes() == result.image.tobytes()
    assert np.asarray(first.image, float).std() < 40  # noise around grey
    assert difference(first.image, result.image) > 5


def test_each_snapshot_is_closer_to_the_result_than_the_first_one(stylizer: Stylizer) -> None:
    result = run(stylizer, size=(96, 64), epochs=2, snapshots=4)
    distances = [difference(snapshot.image, result.image) for snapshot in result.snapshots]
    assert distances == sorted(distances, reverse=True)


@pytest.mark.parametrize(
    ("size", "expected"),
    [((400, 100), (384, 96)), ((200, 80), (200, 80)), ((2 * LONG_SIDE, 48), (LONG_SIDE, 24))],
)
def test_snapshots_of_all_scales_have_one_size(
    stylizer: Stylizer, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    result = run(stylizer, size=size, epochs=1, snapshots=20)
    assert len({evaluation.scale for evaluation in result.evaluations}) > 1
    assert {snapshot.image.size for snapshot in result.snapshots} == {expected}
    assert {snapshot.image.mode for snapshot in result.snapshots} == {"RGB"}


def test_snapshots_have_the_colours_of_the_content_if_the_result_has(stylizer: Stylizer) -> None:
    result = run(stylizer, size=(96, 64), epochs=1, snapshots=6, preserve_color=True)
    chroma = [np.asarray(s.image.convert("YCbCr"), float)[:, :, 1:] for s in result.snapshots]
    assert all(np.abs(one - chroma[-1]).mean() < 2 for one in chroma)


def test_each_pair_of_a_batch_has_its_own_number_of_snapshots(stylizer: Stylizer) -> None:
    pairs = [prepared(1, snapshots=3), prepared(3), prepared(1, snapshots=4)]
    results = stylizer.run(pairs)
    assert [len(result.snapshots) for result in results] == [3, 0, 4]
    assert all(r.snapshots[-1].image.tobytes() == r.image.tobytes() for r in (results[0], results[2]))
    assert results[0].snapshots[0].image.tobytes() == results[2].snapshots[0].image.tobytes()


def test_a_snapshot_that_turns_out_to_be_after_the_last_evaluation_is_dropped() -> None:
    snapshots = Snapshots([4, 4], evaluations=64, size=(8, 6))
    for step in (1, 4, 16):
        assert snapshots.due({0: step, 1: step}) == {0: step, 1: step}
        assert snapshots.due({0: step - 1}) == {}
        snapshots.add({0: step, 1: step}, torch.full((2, 3, 6, 8), step / 255))
    snapshots.drop_after([10, 64])
    found = [snapshots.of(index, last=64) for index in (0, 1)]
    assert [[step for step, _ in each] for each in found] == [[1, 4], [1, 4, 16]]
    assert [image.getpixel((0, 0)) for _, image in found[1]] == [(1, 1, 1), (4, 4, 4), (16, 16, 16)]


def test_a_snapshot_that_was_dropped_is_taken_at_the_next_scale() -> None:
    snapshots = Snapshots([12, 12], evaluations=200, size=(8, 6))
    for step in range(1, 50):  # the first pair has converged at 41, which is noticed at 49
        if due := snapshots.due({0: step, 1: step}):
            snapshots.add(due, torch.zeros(len(due), 3, 6, 8))
    snapshots.drop_after([41, 49])
    for step in range(1, 120):
        if due := snapshots.due({0: 41 + step, 1: 49 + step}):
            snapshots.add(due, torch.zeros(len(due), 3, 6, 8))
    expected = [1, 2, 3, 4, 7, 11, 18, 29, 47, 76, 124]
    assert [[step for step, _ in snapshots.of(index, 200)] for index in (0, 1)] == [expected, expected]


def test_a_moment_that_was_missed_is_made_up_for_once() -> None:
    snapshots = Snapshots([12], evaluations=200, size=(8, 6))
    assert snapshots.due({0: 30}) == {0: 30}
    snapshots.add({0: 30}, torch.zeros(1, 3, 6, 8))
    assert snapshots.due({0: 46}) == {}
    assert snapshots.due({0: 47}) == {0: 47}


def test_with_too_few_evaluations_there_is_a_snapshot_of_each(stylizer: Stylizer) -> None:
    result = run(stylizer, size=(192, 32), epochs=1, snapshots=60)
    assert len({evaluation.scale for evaluation in result.evaluations}) == 2
    assert steps(result) == list(range(1, 21))


def test_a_pair_that_converges_early_has_the_snapshots_until_then_and_its_result(stylizer: Stylizer) -> None:
    result = run(stylizer, size=(192, 32), epochs=10, tolerance=0.9, snapshots=12)
    count = len(result.evaluations)
    assert count < 100
    found = steps(result)
    assert found[0] == 1 and found[-1] == count
    assert found == sorted(set(found))
    assert len(found) >= 7
    assert result.snapshots[-1].image.tobytes() == result.image.tobytes()


@pytest.mark.parametrize("count", [1, -1, 61, 2.5, True])
def test_other_numbers_of_snapshots_are_refused(count: object) -> None:
    with pytest.raises(ValidationError):
        Parameters.model_validate({"snapshots": count})


def test_parameters_without_snapshots_are_written_as_before_there_were_any() -> None:
    assert "snapshots" not in Parameters().model_dump_json()
    assert Parameters(snapshots=2).model_dump()["snapshots"] == 2
