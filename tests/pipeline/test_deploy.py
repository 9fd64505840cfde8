"""What is there to deploy, checked by its own linter; no server here plays all of CloudFormation."""

import subprocess
import sys
from pathlib import Path

STACK = Path(__file__).parents[2] / "deploy" / "stack.yaml"


def test_the_linter_finds_nothing() -> None:
    linter = Path(sys.executable).parent / "cfn-lint"
    checked = subprocess.run([linter, STACK], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
