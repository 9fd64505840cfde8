import pytest

from nst import Stylizer
from pipeline import bench


def test_the_speed_of_each_size_is_measured(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZES", (16, 48))
    small, large = bench.speeds(stylizer)
    assert (small.size, large.size) == (16, 48)
    assert small.hourly > 0
    # Ten epochs are 200 evaluations. At these sizes there is only one scale.
    assert large.hourly == pytest.approx(3600 / (200 * large.seconds_per_evaluation))
    assert large.gigabytes > 0
