import pytest

from nst import NSTError, Stylizer
from pipeline import bench


def test_the_speed_of_each_size_is_measured(stylizer: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZES", (16, 48))
    small, large = bench.speeds(stylizer)
    assert (small.size, large.size) == (16, 48)
    assert small.hourly > 0
    # Ten epochs are 200 evaluations. At these sizes there is only one scale.
    assert large.hourly == pytest.approx(3600 / (200 * large.seconds_per_evaluation))
    assert large.gigabytes > 0


def test_a_size_that_does_not_fit_into_the_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "SIZES", (1024,))
    speeds = bench.speeds(Stylizer(device="cpu", dtype="fp32", memory=0.7))
    with pytest.raises(NSTError, match=r"^\d+ px: .*memory"):
        list(speeds)
