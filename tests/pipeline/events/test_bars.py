"""The output of the program on a real (pseudo) terminal."""

import fcntl
import io
import json
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import termios
from collections.abc import Sequence
from pathlib import Path

import pytest

from nst.result import Evaluation, Losses
from pipeline.events.bars import Bars
from pipeline.events.listener import Evaluated, ManifestStarted
from tests.conftest import FAKE_COMMAND, QUICK_SETTINGS

LASTING_COMMAND = [*FAKE_COMMAND[:-1], "lasting"]
NAME = b"caf\xe9"  # not UTF-8; file names from old archives may be like this


def _at_a_terminal() -> None:
    fcntl.ioctl(1, termios.TIOCSCTTY, 0)
    for number in (signal.SIGHUP, signal.SIGINT):  # the parent of the tests may ignore them
        signal.signal(number, signal.SIG_DFL)


class Terminal:
    """A terminal in which `nst-pipeline run` works on a manifest of two pairs."""

    def __init__(self, folder: Path, start: Sequence[str] = (), epochs: int = 1, **environment: str) -> None:
        images = {"content": "content.png", "style": "style.png"}
        pair = {**images, "epochs": epochs}
        manifest = bytes(folder) + b"/" + NAME + b".json"
        with open(manifest, "w") as file:
            json.dump({"pairs": [{**pair, "id": "a"}, {**pair, "id": "b", "seed": 1}]}, file)
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [*start, *LASTING_COMMAND, "run", manifest, "--outbox", folder / "outbox"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**os.environ, **QUICK_SETTINGS, **environment},
            start_new_session=True,
            preexec_fn=_at_a_terminal,
        )
        os.close(theirs)

    def read(self) -> str:
        """Wait for new output and return it; an empty text when the program has ended."""
        assert select.select([self._ours], [], [], 60)[0], "the program hangs"
        try:
            return os.read(self._ours, 10_000).decode()
        except OSError:
            return ""

    def wait_for(self, text: str) -> str:
        """Wait until the output contains this text, and return the output."""
        shown = ""
        while text not in shown:
            found = self.read()
            assert found, f"the program has ended after {shown}"
            shown += found
        return shown

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.write(self._ours, b"\x03")

    def close(self) -> None:
        os.close(self._ours)

    def end(self) -> tuple[int, str]:
        """Wait for the end of the program; its exit code and its output on stderr."""
        _, errors = self._process.communicate(timeout=60)
        return self._process.returncode, errors.decode()


def test_closing_the_terminal_stops_the_program_by_sighup(folder: Path) -> None:
    terminal = Terminal(folder, epochs=100)
    terminal.wait_for("all pairs")
    terminal.close()
    assert terminal.end() == (128 + signal.SIGHUP, "")


def test_closing_the_terminal_does_not_stop_the_program_if_sighup_is_ignored(folder: Path) -> None:
    terminal = Terminal(folder, ["sh", "-c", 'trap "" HUP; exec "$@"', "sh"])
    terminal.wait_for("all pairs")
    terminal.close()
    assert terminal.end() == (0, "")
    assert len(list(folder.glob("outbox/*/*.loss.jsonl"))) == 2


def test_ctrl_c_leaves_the_cursor_on_the_screen_while_another_process_is_waited_for(folder: Path) -> None:
    at_work = Terminal(folder, epochs=100, TERM="xterm")
    at_work.wait_for("all pairs")
    waiting = Terminal(folder, epochs=100, TERM="xterm", COLUMNS="200")
    shown = waiting.wait_for("waiting for its end")
    waiting.interrupt()
    while found := waiting.read():
        shown += found
    assert waiting.end() == (128 + signal.SIGINT, "")
    hidden, visible = "\x1b[?25l", "\x1b[?25h"
    assert shown.rfind(hidden) <= shown.rfind(visible)
    for terminal in (waiting, at_work):
        terminal.close()
    at_work.end()


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_cannot_be_printed_are_shown_escaped(folder: Path, encoding: str) -> None:
    terminal, shown = Terminal(folder, PYTHONIOENCODING=encoding, TERM="xterm", COLUMNS="200"), ""
    while found := terminal.read():
        shown += found
    terminal.close()
    assert terminal.end() == (0, "")
    assert r"caf\udce9/a: loss" in shown
    assert r"caf\udce9: done, see" in shown


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_the_program_works_with_closed_stdout_or_stderr(folder: Path, closed: str) -> None:
    (folder / "m.json").write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    command = shlex.join([*FAKE_COMMAND, "run", str(folder / "m.json"), "--outbox", str(folder / "outbox")])
    assert subprocess.run(f"{command} {closed}", shell=True).returncode == 0
    assert len(list(folder.glob("outbox/*/*.loss.jsonl"))) == 1


def test_a_narrow_terminal_shows_a_bar_beside_the_end_of_a_long_name(folder: Path) -> None:
    losses = Losses(content=1.0, style=2.0, tv=3.0, total=123456.0)
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "80")
        patch.setenv("FORCE_COLOR", "1")
        bars = Bars(out)
        bars.hear(ManifestStarted("weddings-2026", 500))
        name = "IMG_0123-waves-strength=0.3"
        bars.hear(Evaluated("weddings-2026", name, Evaluation(100, 200, 512, losses, 1.0)))
        bars.close()
    lines = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", out.getvalue()).splitlines()
    row = next(line for line in reversed(lines) if "strength=0.3" in line)
    assert re.search("…[^ ]*-strength=0.3 ━{8,}.* 100/200 .*loss 1.235e\\+05", row)
    assert any(re.search("all pairs .* 0/500 ", line) for line in lines)
