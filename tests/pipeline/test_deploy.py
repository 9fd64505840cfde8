"""Checks the CloudFormation template with its linter, because no local server simulates CloudFormation."""

import subprocess
import sys
from pathlib import Path

STACK = Path(__file__).parents[2] / "deploy" / "stack.yaml"


def test_the_linter_reports_no_problem_in_the_template() -> None:
    linter = Path(sys.executable).parent / "cfn-lint"
    checked = subprocess.run([linter, STACK], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
