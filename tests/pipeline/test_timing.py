"""The intervals that are in use keep what the documentation promises."""

from pipeline.timing import Timing


def test_the_defaults_keep_the_promises() -> None:
    timing = Timing()
    assert timing.grace + timing.leave <= 2  # "within two seconds of a signal"
    assert timing.lease_renewal <= timing.lease / 4  # one late request does not cost a claim
    assert timing.retry_first <= timing.retry_last
    assert timing.ray_stuck < timing.stuck  # an actor that hangs is ended before its owner ends itself
