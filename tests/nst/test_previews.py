"""Pictures of a run that is not finished: what a caller gets, and that they change no result."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from nst import PreparedPair, PreviewCallbacks, Stylizer
from nst.scales import BatchRun
from tests.conftest import SHALLOW
from tests.nst.pairs import prepared

Shown = list[tuple[int, Image.Image]]


def callbacks(shown: Shown, wanted: Callable[[], Sequence[int]], long_side: int = 256) -> PreviewCallbacks:
    """Callbacks that append to `shown`."""
    return PreviewCallbacks(wanted, lambda index, image: shown.append((index, image)), long_side)


def run(
    stylizer: Stylizer, pair: PreparedPair, wanted: Sequence[int] = (0,), long_side: int = 256
) -> tuple[Shown, Image.Image]:
    """The previews of each step, and the result."""
    shown: Shown = []
    (result,) = stylizer.run([pair], previews=callbacks(shown, lambda: wanted, long_side))
    return shown, result.image


def difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two pictures of one size, in levels of 255."""
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


@pytest.mark.parametrize("preserve_color", [False, True])
def test_results_are_the_same_bit_for_bit_with_and_without_previews(
    stylizer: Stylizer, preserve_color: bool
) -> None:
    pairs = [
        prepared(seed, size=(160, 64), epochs=1, preserve_color=preserve_color, **SHALLOW) for seed in (1, 3)
    ]
    shown: Shown = []
    plain = stylizer.run(pairs)
    watched = stylizer.run(pairs, previews=callbacks(shown, lambda: [0, 1]))
    assert shown
    for one, other in zip(plain, watched, strict=True):
        assert one.image.tobytes() == other.image.tobytes()
        assert [e.losses for e in one.evaluations] == [e.losses for e in other.evaluations]
        assert one.losses == other.losses


def test_a_preview_of_one_pair_of_a_batch_keeps_the_content_of_this_pair(stylizer: Stylizer) -> None:
    """A GPU computes the pairs of a batch together, so they are here, too."""
    mask = Image.new("L", (48, 40))
    left = (0, 0, 24, 40)
    mask.paste(255, left)
    pairs = [prepared(seed, keep=mask, **SHALLOW) for seed in (1, 3)]
    shown: Shown = []
    BatchRun(stylizer.targets, pairs, lambda *_: None, callbacks(shown, lambda: [1])).results()
    assert shown
    for index, image in shown:
        assert index == 1
        assert difference(image.crop(left), pairs[1].contents[-1].crop(left)) < 1


def test_a_preview_has_the_aspect_of_the_picture_and_at_most_the_long_side(stylizer: Stylizer) -> None:
    shown, result = run(stylizer, prepared(size=(400, 100), epochs=1, **SHALLOW), long_side=150)
    assert {image.size for _, image in shown} == {(100, 25), (150, 38)}
    assert {image.mode for _, image in shown} == {"RGB"}
    assert result.size == (400, 100)


@pytest.mark.parametrize("preserve_color", [False, True])
def test_the_last_preview_resembles_the_result_and_the_first_one_the_start(
    stylizer: Stylizer, preserve_color: bool
) -> None:
    pair = prepared(size=(96, 64), init="random", epochs=2, preserve_color=preserve_color, **SHALLOW)
    shown, result = run(stylizer, pair)
    first, last = shown[0][1], shown[-1][1]
    assert difference(last, result) < 2 < 5 < difference(first, result)


def test_a_reduced_preview_resembles_the_reduced_result(stylizer: Stylizer) -> None:
    shown, result = run(
        stylizer, prepared(size=(180, 120), epochs=2, preserve_color=True, **SHALLOW), long_side=60
    )
    assert difference(shown[-1][1], result.resize((60, 40), Image.Resampling.BOX)) < 4


def test_only_pairs_that_are_wanted_are_shown_and_only_when_they_are(stylizer: Stylizer) -> None:
    answers = iter([[1], [], [0, 1]])
    shown: Shown = []
    pairs = [prepared(1), prepared(3)]
    results = stylizer.run(pairs, previews=callbacks(shown, lambda: next(answers, [])))
    assert Counter(index for index, _ in shown) == {0: 1, 1: 2}
    (second,) = [image for index, image in shown if index == 0]
    assert difference(second, results[0].image) < difference(second, results[1].image)


def test_an_error_of_a_callback_ends_the_run(stylizer: Stylizer) -> None:
    def wanted() -> Sequence[int]:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        stylizer.run([prepared()], previews=callbacks([], wanted))
