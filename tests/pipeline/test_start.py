"""How the process begins and ends. Each test starts a process, because a signal would end this one."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INIT = ["unshare", "--pid", "--fork", "--kill-child"]  # starts a command as the init process, PID 1


def started(commands: str) -> subprocess.CompletedProcess[str]:
    """Run a process whose commands are this function."""
    lines = ["import atexit, os, signal, sys", "from pipeline import start"]
    # The shell that runs the tests may ignore some of them.
    lines += [f"signal.signal({number:d}, signal.SIG_DFL)" for number in SIGNALS]
    program = "\n".join([*lines, f"def commands(): {commands}", "start.main(commands)"])
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_before_any_work_ends_the_process_in_silence(number: signal.Signals) -> None:
    ended = started(f"os.kill(os.getpid(), {number:d}); print('goes on')")
    assert (ended.returncode, ended.stdout, ended.stderr) == (128 + number, "", "")


def can_start_init() -> bool:
    return (
        bool(shutil.which("unshare")) and not subprocess.run([*INIT, "true"], capture_output=True).returncode
    )


@pytest.mark.skipif(not can_start_init(), reason="unshare is missing, or needs root")
def test_a_signal_ends_the_process_also_where_it_is_the_init_process() -> None:
    program = (
        "import os, signal; from pipeline import start; "
        "start.main(lambda: (print(os.getpid(), flush=True), signal.pause()))"
    )
    with subprocess.Popen([*INIT, sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as outer:
        assert outer.stdout and outer.stdout.readline() == "1\n"
        (inner,) = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        os.kill(int(inner), signal.SIGTERM)
        try:
            assert outer.wait(60) == 128 + signal.SIGTERM
        finally:
            outer.kill()


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


@pytest.mark.parametrize("code", [0, 1])
def test_a_reader_that_goes_away_does_not_change_the_exit_code(code: int) -> None:
    """The log stays in the buffer of the stream, which is written once more at the end."""
    program = (
        "import sys; from pipeline import start; from pipeline.events.streams import Forgiving; "
        "log = Forgiving(sys.stdout); "
        f"start.main(lambda: (log.write('line'), log.flush(), sys.exit({code})))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    ended = subprocess.run([sys.executable, "-c", program], stdout=writer, timeout=60, env=buffered)
    os.close(writer)
    assert ended.returncode == code
