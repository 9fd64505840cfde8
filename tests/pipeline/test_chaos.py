"""Runs a small part of `tests/chaos.py` and of `tests/chaos_shards.py`, always with the same seed."""

import subprocess
import sys


def test_random_kills_cause_no_lost_doubled_or_torn_results() -> None:
    # In a separate process, because forking a process that has run all other tests takes long.
    command = [sys.executable, "-m", "tests.chaos", "2", "1", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    starts = ("| folder", "| bucket", "| bad network")
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(starts)]
    assert all(int(row[3]) >= least for row, least in zip(rows, [2, 2, 1], strict=True))


def test_shards_that_are_killed_and_started_again_lose_nothing_and_compute_nothing_twice() -> None:
    command = [sys.executable, "-m", "tests.chaos_shards", "1", "1", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(("| folder", "| bucket"))]
    assert [int(row[4]) for row in rows] == [4, 4]  # killed
