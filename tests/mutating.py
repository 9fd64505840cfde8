"""Copies this repository, sabotages the copy, and runs tests there. See `tests.mutations`."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
_COPIED = ("pipeline", "nst", "tests", "manifests", "pyproject.toml")
_LONGEST = 120  # seconds for one run

PASSED, FAILED = 0, 1  # exit codes of pytest


@dataclass(frozen=True)
class Mutation:
    """A sabotage: `old`, which stands once in the file or the folder `place`, becomes `new`."""

    name: str
    place: str
    old: str
    new: str
    test: str  # node id, without `tests/pipeline/`

    @property
    def node(self) -> str:
        return f"tests/pipeline/{self.test}"

    def file(self, root: Path) -> Path:
        """The file below a folder that has the text. Raises `AssertionError` unless it is there once."""
        place = root / self.place
        files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
        counts = {file: file.read_text().count(self.old) for file in files if file.exists()}
        found = {str(file.relative_to(root)): count for file, count in counts.items() if count}
        message = (
            f"{self.old!r} must be in {self.place} once; adapt this mutation to the code; found: {found}"
        )
        assert sum(found.values()) == 1, message
        return root / next(iter(found))


def copy(target: Path) -> None:
    """Copy what is needed to run tests."""
    for name in _COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name)
        else:
            shutil.copy2(ROOT / name, target / name)


@contextmanager
def mutated(root: Path, mutation: Mutation) -> Iterator[None]:
    """Sabotage a copy."""
    file = mutation.file(root)
    text = file.read_text()
    try:
        _write(file, text.replace(mutation.old, mutation.new))
        yield
    finally:
        _write(file, text)


def run(root: Path, nodes: Sequence[str]) -> tuple[int, str]:
    """Run tests in a copy until the first one fails; pytest's exit code and its output."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *nodes],
        cwd=root,
        env={**kept, "PYTHONPATH": str(root), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # plugins start slowly
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=_LONGEST)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # and the servers that the tests have started
        process.wait()
        raise
    return process.returncode, output


def _write(file: Path, text: str) -> None:
    file.write_text(text)
    # Compiled files are recognised by the size and the second of the source, which may be the same.
    shutil.rmtree(file.parent / "__pycache__", ignore_errors=True)
