"""A slice of the campaign in `tests/chaos.py`, always the same one."""

from collections.abc import Callable

import pytest

from nst import Stylizer
from tests.chaos import campaign
from tests.pipeline.box import Box, Instant


@pytest.mark.parametrize("runners", [1, 4])
@pytest.mark.parametrize("boxes", ["folder_box", "bucket_box"])
@pytest.mark.usefixtures("brief")
def test_kills_at_random_lose_double_and_tear_nothing(
    boxes: str, runners: int, stylizer: Stylizer, request: pytest.FixtureRequest
) -> None:
    make: Callable[[], Box] = request.getfixturevalue(boxes)
    tally = campaign(make, Instant(stylizer), runners, kills=20, seed=1)
    assert (tally.lost, tally.doubled, tally.torn) == ([], [], [])
    assert tally.kills >= 20
