"""The intervals that are in use keep what the documentation promises."""

from pipeline.timing import Timing


def test_the_defaults_keep_the_promises() -> None:
    timing = Timing()
    assert timing.grace + timing.leave <= 2  # "within two seconds of a signal"
    assert timing.lease_renewal <= timing.lease / 4  # one late request does not cost a claim
    assert timing.retry_first <= timing.retry_last
    assert timing.ray_stuck < timing.stuck  # an actor that hangs is ended before its owner ends itself


def test_the_wait_for_a_store_doubles_up_to_the_longest_and_remains_a_number() -> None:
    timing = Timing(retry_first=1.0, retry_last=6.0)
    assert [timing.retry_after(failed) for failed in (1, 2, 3, 4, 100_000)] == [1.0, 2.0, 4.0, 6.0, 6.0]
