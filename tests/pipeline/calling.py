"""Calls the command within the process of the tests."""

from collections.abc import Callable
from pathlib import Path

Call = Callable[..., tuple[int, str]]
"""Takes the arguments of the command; returns its exit code and its output."""


def fill(text: str, root: Path) -> str:
    """Replace names in braces by folders."""
    names = ("in", "allowed", "elsewhere", "out", "gone")
    return text.format_map({name: root / name for name in names} | {"root": root})
