"""What a person at a terminal sees, by a real terminal."""

import json
import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.conftest import COMMAND, QUICK_SETTINGS

NAME = b"caf\xe9"  # no UTF-8, as old archives bring it


class Terminal:
    """A terminal with `nst-pipeline run` on a manifest of two pairs."""

    def __init__(self, folder: Path, **environment: str) -> None:
        pair = {"content": "content.png", "style": "style.png", "epochs": 1, "max_size": 48}
        manifest = bytes(folder) + b"/" + NAME + b".json"
        with open(manifest, "w") as file:
            json.dump({"pairs": [{**pair, "id": "a"}, {**pair, "id": "b", "seed": 1}]}, file)
        self._ours, theirs = pty.openpty()
        self._process = subprocess.Popen(
            [*COMMAND, "run", manifest, "--outbox", folder / "outbox"],
            stdout=theirs,
            stderr=subprocess.PIPE,
            env={**os.environ, **QUICK_SETTINGS, **environment},
        )
        os.close(theirs)

    def look(self) -> str:
        """What has been written since; nothing once the program has ended."""
        try:
            return os.read(self._ours, 10_000).decode()
        except OSError:
            return ""

    def close(self) -> None:
        os.close(self._ours)

    def end(self) -> tuple[int, str]:
        """The exit code, and what stderr had."""
        _, errors = self._process.communicate(timeout=60)
        return self._process.returncode, errors.decode()


def test_a_terminal_that_is_closed_stops_nothing(folder: Path) -> None:
    terminal = Terminal(folder)
    assert terminal.look()
    terminal.close()
    assert terminal.end() == (0, "")
    assert len(list(folder.glob("outbox/*/*.loss.jsonl"))) == 2


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_a_terminal_has_no_letters_for_are_shown_escaped(folder: Path, encoding: str) -> None:
    terminal, shown = Terminal(folder, PYTHONIOENCODING=encoding, TERM="xterm", COLUMNS="200"), ""
    while found := terminal.look():
        shown += found
    terminal.close()
    assert terminal.end() == (0, "")
    assert r"caf\udce9/a: loss" in shown
    assert r"caf\udce9: done, look at" in shown
