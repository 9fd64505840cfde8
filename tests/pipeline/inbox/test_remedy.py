"""The command in an error file can be pasted into a shell, whatever the manifest is called."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from pipeline.errors import Problem, UsageError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.folder import FolderStore
from tests.pipeline.calling import Call

NAMES = [
    *("plain", "-dash", "--inbox", "-", "it's", "a b", "$HOME", "back\\slash", "~", "*", "ü 日本"),
    *("line\nbreak", "\x1b[31m", "it's\n", "back\\\n", "a\u202egnp", "caf\udce9", "--help"),
    *("x.json", "x.JSON", "x.json.json"),
]


@pytest.mark.parametrize("name", NAMES)
def test_the_remedy_puts_the_manifest_back(tmp_path: Path, call: Call, name: str) -> None:
    folder = tmp_path / "in box"
    folder.mkdir()
    (folder / f"{name}.json").write_text("{}")
    (folder / "failed").mkdir()
    (folder / "failed" / "x.json").write_text("{}")  # another manifest that has failed
    claimed = Inbox(FolderStore(folder)).claim(name)
    assert claimed
    claimed.fail([Problem("", "bad")])
    (error_file,) = (folder / "failed").glob("*.error.json")
    remedy: str = json.loads(error_file.read_text())["remedy"]
    assert remedy.isprintable()
    command = remedy.rpartition("; then: ")[2]
    script = f"nst-pipeline() {{ printf '%s\\0' \"$@\"; }}\n{command}"
    output = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    arguments = [os.fsdecode(word) for word in output.split(b"\0")[:-1]]
    assert call(*arguments)[0] == 0
    assert (folder / f"{name}.json").exists()


def test_a_suggestion_means_the_manifest_that_is_near(tmp_path: Path) -> None:
    inbox = Inbox(FolderStore(tmp_path))
    inbox.store.write("failed/a.json.json", b"{}")
    with pytest.raises(UsageError, match=r"did you mean 'a\.json\.json'\?$"):
        inbox.retry("A.json.json")
    inbox.retry("a.json.json")
    assert (tmp_path / "a.json.json").exists()
