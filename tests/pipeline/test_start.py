"""How the process begins and ends. Each test starts a process, because a signal would end this one."""

import signal
import subprocess
import sys

import pytest


def started(commands: str) -> subprocess.CompletedProcess[str]:
    """Run a process whose commands are this function."""
    lines = ["import atexit, os, signal, sys", "from pipeline import start"]
    program = "\n".join([*lines, f"def commands(): {commands}", "start.main(commands)"])
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_before_any_work_ends_the_process_in_silence(number: signal.Signals) -> None:
    ended = started(f"os.kill(os.getpid(), {number:d}); print('goes on')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", "")


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    ended = subprocess.run(
        [
            "nohup",
            sys.executable,
            "-c",
            "import os, signal; from pipeline import start; "
            "start.main(lambda: os.kill(os.getpid(), signal.SIGHUP))",
        ],
        capture_output=True,
        timeout=60,
    )
    assert ended.returncode == 0


@pytest.mark.parametrize(("leave", "code"), [("sys.exit(2)", 2), ("sys.exit()", 0), ("pass", 0)])
def test_the_process_ends_without_the_clean_up_of_the_interpreter(leave: str, code: int) -> None:
    # The clean-up takes longer than a runner that is stopped has.
    ended = started(f"atexit.register(print, 'clean-up'); print('done'); {leave}")
    assert (ended.returncode, ended.stdout) == (code, "done\n")


def test_output_that_can_not_be_written_is_a_failure() -> None:
    program = "from pipeline import start; start.main(lambda: print('text'))"
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-c", program], stdout=full, timeout=60)
    assert ended.returncode == 1
