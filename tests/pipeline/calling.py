"""Calls the command within the process of the tests."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import cli
from pipeline.environment import Environment

Call = Callable[..., tuple[int, str]]
"""Takes the arguments of the command; returns its exit code and its output."""


def caller(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], environment: Environment
) -> Call:
    """A function that calls the command in this environment, without any variable of its settings."""
    for name in [name for name in os.environ if name.startswith("NST_")]:
        monkeypatch.delenv(name)

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["nst-pipeline", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main(environment)
        assert isinstance(ended.value.code, int)
        return ended.value.code, "".join(capsys.readouterr())

    return call


def fill(text: str, root: Path) -> str:
    """Replace names in braces by folders."""
    names = ("in", "allowed", "elsewhere", "out", "gone")
    return text.format_map({name: root / name for name in names} | {"root": root})
