"""Which shard this process works on, from the variables that a scheduler of array jobs sets."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from pipeline.errors import UsageError
from pipeline.manifest.shard import Shard

Variables = Mapping[str, str]


@dataclass(frozen=True)
class _Zeroed:
    """A scheduler that counts tasks from zero and says how many there are."""

    name: str
    index: str  # the variable with the number of the task
    count: str  # the variable with the number of tasks

    def shard(self, variables: Variables) -> Shard | None:
        """The shard of this task; none outside of this scheduler. Raises `UsageError`."""
        if not variables.get(self.index):
            return None
        index, count = (_number(variables, name) for name in (self.index, self.count))
        if not 0 <= index < count:
            raise UsageError(
                f"--shard auto: {self.index} is {index} and {self.count} is {count}, but {self.name} counts "
                f"{count} tasks from 0; give --shard I/N"
            )
        return Shard(index + 1, count)


def _slurm(variables: Variables) -> Shard | None:
    """The shard of a task of a Slurm array, such as 0-15, 1-16 or 0-30:2; none outside of an array."""
    if not variables.get("SLURM_ARRAY_TASK_ID"):
        return None
    task, first, last, count = (
        _number(variables, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "COUNT")
    )
    step, rest = divmod(last - first, count - 1) if count > 1 else (1, last - first)
    place, between = divmod(task - first, step) if step > 0 else (0, 1)
    # Slurm does not say which tasks an array such as 1,2,5 has.
    if rest or between or not 0 <= place < count:
        raise UsageError(
            f"--shard auto: the tasks of this array, from SLURM_ARRAY_TASK_MIN {first} to "
            f"SLURM_ARRAY_TASK_MAX {last}, are {count} (SLURM_ARRAY_TASK_COUNT), which are not evenly "
            "spaced; use an array such as 1-16, or give --shard I/N"
        )
    return Shard(place + 1, count)


_SCHEDULERS: dict[str, Callable[[Variables], Shard | None]] = {
    "Slurm": _slurm,
    **{
        name: _Zeroed(name, index, count).shard
        for name, index, count in (
            ("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
            ("Kubernetes", "JOB_COMPLETION_INDEX", "NST_SHARDS"),
            ("Google Batch", "BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
            ("Cloud Run", "CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
        )
    },
}


def chosen_shard(text: str, variables: Variables) -> Shard:
    """The shard that `--shard` names; `auto` means that of the array job that this process belongs to.

    Raises `UsageError` for any other text, and for `auto` where no scheduler has set its variables, or where
    two of them disagree.
    """
    if text != "auto":
        return Shard.parse(text)
    found = dict(_found(variables))
    if not found:
        raise UsageError(
            "--shard auto: this process is no task of an array job, because no variable says so "
            f"({', '.join(_SCHEDULERS)} set one); give --shard I/N"
        )
    if len(set(found.values())) > 1:
        listed = " and ".join(f"{name} says {shard}" for name, shard in found.items())
        raise UsageError(f"--shard auto: {listed}; give --shard I/N")
    return next(iter(found.values()))


def _found(variables: Variables) -> Iterator[tuple[str, Shard]]:
    for name, shard_of in _SCHEDULERS.items():
        if shard := shard_of(variables):
            yield name, shard


def _number(variables: Variables, name: str) -> int:
    text = variables.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        what = f"is '{text}', which is no number" if text else "is not set"
        raise UsageError(f"--shard auto: {name} {what}; set it, or give --shard I/N")
    return int(text)
