"""What errors of Ray say about an actor."""

from typing import Any

import pytest

exceptions = pytest.importorskip("ray.exceptions")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (exceptions.ActorUnavailableError("no answer", None), "silent"),
        (exceptions.NodeDiedError("gone"), "taken"),
        (exceptions.ActorDiedError(), "died"),
        (exceptions.OutOfMemoryError("too large"), "failed"),
        (exceptions.RayTaskError("report", "Traceback\nValueError: odd", ValueError("odd")), "failed"),
        (exceptions.ObjectLostError("00", "owner", "call"), "unclear"),
        (exceptions.RaySystemError("odd"), "unclear"),
    ],
)
def test_only_the_death_or_failure_of_a_process_says_something_about_it(error: Any, expected: str) -> None:
    from pipeline.engines.ray_errors import meaning

    assert meaning(error) == expected


def test_an_actor_whose_machine_is_reclaimed_is_taken_away() -> None:
    from pipeline.engines.ray_errors import meaning

    assert meaning(exceptions.RayActorError(preempted=True)) == "taken"
