"""A slice of the campaign in `tests/chaos.py`, always the same one."""

import subprocess
import sys


def test_kills_at_random_lose_double_and_tear_nothing() -> None:
    # A process of its own, because forking one that has run all other tests takes long.
    command = [sys.executable, "-m", "tests.chaos", "12", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    rows = [line.split("|") for line in done.stdout.splitlines() if line.startswith(("| folder", "| bucket"))]
    assert len(rows) == 4
    assert all(int(row[3]) >= 12 for row in rows)
