"""What an error of Ray says about the actor that was called."""

from typing import Literal

from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RayError,
    RayTaskError,
)

# It does not answer, and may be alive; its machine was taken away; its process has died, or its machine was
# shut down; it has failed by its own work; nothing is known about it.
Meaning = Literal["silent", "taken", "died", "failed", "unclear"]


def meaning(error: RayError) -> Meaning:
    """What an error of a call says about the actor."""
    match error:
        case ActorUnavailableError():
            return "silent"
        case NodeDiedError():
            return "taken"
        case RayActorError():
            return "taken" if error.preempted else "died"
        case OutOfMemoryError() | RayTaskError():
            return "failed"
    return "unclear"


def reason(machine: str, error: RayError) -> str:
    """Why an actor on this machine has died or failed."""
    if isinstance(error, OutOfMemoryError):
        return f"Ray has ended its process on {machine} for lack of memory"
    if isinstance(error, RayTaskError):
        return f"its process on {machine} has failed: {cause(error)}"
    return f"its process on {machine} has died"


def cause(error: Exception) -> str:
    """The last line of the message of an error, where Ray has the cause of a failed call."""
    lines = str(error).strip().splitlines() or [repr(error)]
    return lines[-1].strip()
