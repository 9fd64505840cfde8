"""Runs the script for Slurm with the variables that Slurm sets, and with stand-ins for its commands."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import QUICK_SETTINGS, make_png

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy" / "slurm" / "shards.sbatch"

# What the script finds under the name of the program.
PROGRAM = f'cd {ROOT} && exec {sys.executable} -m tests.program "{{}}" fake "$@"'
STUBBORN = """
trap 'echo stopped >> {log}; exit {code}' TERM
echo begun > {begun}
while :; do read -r -t 0.05 < {never} || :; done
"""


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder with commands, which the script finds first."""
    folder = tmp_path / "bin"
    folder.mkdir()
    command(folder, "scontrol", f'echo "scontrol $*" >> {tmp_path}/log')
    return folder


def command(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


def start(commands: Path, task: int, tasks: int, *arguments: object, **more: str) -> "subprocess.Popen[str]":
    """Start the script as a task of so many; `more` are further variables."""
    numbers = {"ID": task, "MIN": 1, "MAX": tasks, "COUNT": tasks}
    variables = {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()}
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", SCRIPT, *map(str, arguments)],
        env={**os.environ, **QUICK_SETTINGS, **variables, "SLURM_ARRAY_JOB_ID": "7", "PATH": path, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_the_syntax_of_the_script_is_right() -> None:
    subprocess.run(["bash", "-n", SCRIPT], check=True)
    subprocess.run([Path(sys.executable).parent / "shellcheck", SCRIPT], check=True)


def test_the_tasks_of_an_array_share_a_manifest(commands: Path, tmp_path: Path) -> None:
    command(commands, "nst-pipeline", PROGRAM)
    (tmp_path / "a.png").write_bytes(make_png(32, 32))
    pairs = [{"id": f"p{n}", "content": "a.png", "style": "a.png", "seed": n} for n in range(5)]
    (tmp_path / "m.json").write_text(json.dumps({"pairs": pairs}))
    done = []
    for task in (1, 2):
        script = start(commands, task, 2, tmp_path / "m.json", tmp_path / "out", "--name", "results")
        text, _ = script.communicate(timeout=60)
        assert script.returncode == 0, text
        events = [json.loads(line) for line in text.splitlines()]
        done.append(sorted(event["pair"] for event in events if event["event"] == "pair done"))
    assert done == [["p0", "p2", "p4"], ["p1", "p3"]]
    assert (tmp_path / "out" / "results" / "index.html").exists()


@pytest.mark.parametrize(
    ("number", "code", "requeued"),
    [(signal.SIGUSR1, 143, True), (signal.SIGTERM, 143, False), (signal.SIGTERM, 1, False)],
)
def test_a_task_is_requeued_at_its_time_limit_and_not_when_somebody_cancels_it(
    commands: Path, tmp_path: Path, number: signal.Signals, code: int, requeued: bool
) -> None:
    begun, log, never = tmp_path / "begun", tmp_path / "log", tmp_path / "never"
    os.mkfifo(begun)
    os.mkfifo(never)
    keep = os.open(never, os.O_RDWR)  # so that reading it does not block for ever, and finds nothing
    command(commands, "nst-pipeline", STUBBORN.format(begun=begun, log=log, never=never, code=code))
    script = start(commands, 3, 4, "m.json", "out")
    assert begun.read_text() == "begun\n"
    script.send_signal(number)
    script.communicate(timeout=60)
    os.close(keep)
    lines = log.read_text().splitlines()
    assert lines == ["stopped", *["scontrol requeue 7_3"] * requeued]
    assert script.returncode == (0 if requeued else code)


@pytest.mark.parametrize("more", [{}, {"SLURM_RESTART_COUNT": "2"}])
def test_a_task_that_has_failed_is_requeued(commands: Path, tmp_path: Path, more: dict[str, str]) -> None:
    """It may have lost its GPU."""
    command(commands, "nst-pipeline", "exit 1")
    script = start(commands, 1, 1, "m.json", "out", **more)
    script.communicate(timeout=60)
    assert script.returncode == 0
    assert (tmp_path / "log").read_text() == "scontrol requeue 7_1\n"


@pytest.mark.parametrize(("code", "restarts"), [(1, "3"), (2, "0"), (0, "0")])
def test_the_exit_code_of_the_program_is_that_of_the_task(
    commands: Path, tmp_path: Path, code: int, restarts: str
) -> None:
    """A pair that fails has the code 1 at each start, so that these have an end."""
    command(commands, "nst-pipeline", f"exit {code}")
    script = start(commands, 1, 1, "m.json", "out", SLURM_RESTART_COUNT=restarts)
    script.communicate(timeout=60)
    assert script.returncode == code
    assert not (tmp_path / "log").exists()


def test_a_call_without_an_outbox_says_how_to_call_it(commands: Path) -> None:
    script = start(commands, 1, 1, "m.json")
    text, _ = script.communicate(timeout=60)
    assert (script.returncode, text) == (2, "usage: sbatch shards.sbatch MANIFEST OUTBOX [OPTION...]\n")
