"""Which shard this process works on, from the variables that a scheduler of array jobs sets."""

from collections.abc import Iterator, Mapping

from pipeline.errors import UsageError
from pipeline.manifest.shard import Shard

Variables = Mapping[str, str]

# Schedulers that count tasks from zero: the variables with the number of the task and with that of all tasks.
_FROM_ZERO = {
    "AWS Batch": ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE"),
    "Kubernetes": ("JOB_COMPLETION_INDEX", "NST_SHARDS"),
    "Google Batch": ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT"),
    "Cloud Run": ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT"),
}


def _slurm(variables: Variables) -> Shard:
    """The shard of a task of a Slurm array, such as 0-15, 1-16 or 0-30:2."""
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


def _from_zero(variables: Variables, name: str, *names: str) -> Shard:
    """The shard of a task of a scheduler, whose variables have these names."""
    index, count = (_number(variables, each) for each in names)
    if not 0 <= index < count:
        raise UsageError(
            f"--shard auto: {names[0]} is {index} and {names[1]} is {count}, but {name} counts {count} tasks "
            "from 0; give --shard I/N"
        )
    return Shard(index + 1, count)


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
            f"({', '.join(['Slurm', *_FROM_ZERO])} set one); give --shard I/N"
        )
    if len(set(found.values())) > 1:
        listed = " and ".join(f"{name} says {shard}" for name, shard in found.items())
        raise UsageError(f"--shard auto: {listed}; give --shard I/N")
    return next(iter(found.values()))


def _found(variables: Variables) -> Iterator[tuple[str, Shard]]:
    """The schedulers whose array job this process belongs to, and its shard there. Raises `UsageError`."""
    if variables.get("SLURM_ARRAY_TASK_ID"):
        yield "Slurm", _slurm(variables)
    for name, (index, count) in _FROM_ZERO.items():
        if variables.get(index):
            yield name, _from_zero(variables, name, index, count)


def _number(variables: Variables, name: str) -> int:
    text = variables.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        what = f"is '{text}', which is no number" if text else "is not set"
        raise UsageError(f"--shard auto: {name} {what}; set it, or give --shard I/N")
    return int(text)
