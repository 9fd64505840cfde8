"""`--shard I/N`, and `--shard auto` with the variables of each scheduler."""

import pytest

from pipeline.errors import UsageError
from pipeline.manifest.shard import Shard
from pipeline.work.array_jobs import chosen_shard


def slurm(task: int, first: int, last: int, count: int) -> dict[str, str]:
    values = {"ID": task, "MIN": first, "MAX": last, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(value) for name, value in values.items()}


def zeroed(index: str, count: str, values: tuple[object, object]) -> dict[str, str]:
    return {name: str(value) for name, value in zip((index, count), values, strict=True)}


BATCH = ("AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE")
KUBERNETES = ("JOB_COMPLETION_INDEX", "NST_SHARDS")
GOOGLE = ("BATCH_TASK_INDEX", "BATCH_TASK_COUNT")
CLOUD_RUN = ("CLOUD_RUN_TASK_INDEX", "CLOUD_RUN_TASK_COUNT")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 12, 20])
def test_each_pair_is_in_exactly_one_shard_in_the_order_of_the_manifest(count: int) -> None:
    pairs = list(range(12))
    shards = [Shard(number, count).of(pairs) for number in range(1, count + 1)]
    assert sorted(pair for shard in shards for pair in shard) == pairs
    assert all(list(shard) == sorted(shard) for shard in shards)
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize("names", [BATCH, KUBERNETES, GOOGLE, CLOUD_RUN])
def test_schedulers_that_count_from_zero(names: tuple[str, str]) -> None:
    assert chosen_shard("auto", zeroed(*names, (0, 4))) == Shard(1, 4)
    assert chosen_shard("auto", zeroed(*names, (3, 4))) == Shard(4, 4)
    with pytest.raises(UsageError, match=f"{names[0]} is 4 and {names[1]} is 4, but .* from 0; give --shard"):
        chosen_shard("auto", zeroed(*names, (4, 4)))
    with pytest.raises(UsageError, match=f"{names[1]} is not set; set it, or give --shard I/N"):
        chosen_shard("auto", {names[0]: "0"})
    with pytest.raises(UsageError, match=f"{names[0]} is '-1', which is no number"):
        chosen_shard("auto", zeroed(*names, (-1, 4)))


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        (slurm(0, 0, 15, 16), Shard(1, 16)),  # --array=0-15
        (slurm(16, 1, 16, 16), Shard(16, 16)),  # --array=1-16
        (slurm(7, 5, 8, 4), Shard(3, 4)),  # --array=5-8
        (slurm(20, 10, 30, 3), Shard(2, 3)),  # --array=10-30:10
        (slurm(9, 9, 9, 1), Shard(1, 1)),  # --array=9
        (slurm(7, 3, 7, 2), Shard(2, 2)),  # --array=3,7
    ],
)
def test_slurm_arrays_may_have_an_offset_and_a_step(variables: dict[str, str], shard: Shard) -> None:
    assert chosen_shard("auto", variables) == shard


@pytest.mark.parametrize(
    "variables",
    [
        slurm(2, 1, 5, 3),  # --array=1,2,5
        slurm(5, 1, 6, 3),  # --array=1,5,6
        slurm(17, 1, 16, 16),
        slurm(3, 5, 5, 3),
    ],
)
def test_slurm_arrays_with_gaps_are_refused(variables: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="not evenly spaced; use an array such as 1-16, or give --shard I/N"):
        chosen_shard("auto", variables)


def test_auto_is_refused_outside_of_array_jobs_and_where_schedulers_disagree() -> None:
    for variables in ({}, {"NST_SHARDS": "4"}, {"JOB_COMPLETION_INDEX": ""}):
        with pytest.raises(
            UsageError, match=r"no task of an array job.*Slurm, AWS Batch, .*; give --shard I/N"
        ):
            chosen_shard("auto", variables)
    both = zeroed(*BATCH, (1, 4)) | slurm(2, 1, 4, 4)
    assert chosen_shard("auto", both) == Shard(2, 4)
    with pytest.raises(UsageError, match="Slurm says 3/4 and AWS Batch says 2/4; give --shard I/N"):
        chosen_shard("auto", both | slurm(3, 1, 4, 4))


def test_a_shard_that_is_given_wins_over_the_variables() -> None:
    assert chosen_shard("2/4", slurm(1, 1, 16, 16)) == Shard(2, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/4", "shard 0/4: the first of 4 shards is 1, the last is 4"),
        ("5/4", "shard 5/4: the first of 4 shards is 1, the last is 4"),
        ("0/0", "--shard 0/0: the number of shards is at least 1"),
        ("1/100001", "shard 1/100001: a manifest has at most 100,000 shards"),
        *[
            (text, f"--shard {text}: give I/N, as in 1/4 for the first of four shards, or auto")
            for text in ("a/b", "1", "1/", "/4", "-1/4", "1/4/4", "1.5/4", "AUTO", "", "１/４")
        ],
    ],
)
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        chosen_shard(text, {})
    assert str(refused.value) == message
