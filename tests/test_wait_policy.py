"""Threads that have nothing to do must not take the processor from other processes."""

import os
import subprocess
import sys

import pytest

# Prints the policy at the moment at which PyTorch would be imported, and ends.
SPY = """
import importlib, os, sys

class Spy:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("OMP_WAIT_POLICY"), flush=True)
            os._exit(0)

sys.meta_path.insert(0, Spy())
"""
MODULES = ("nst.stylizer", "nst.device", "pipeline.bench", "pipeline.engines.local", "benchmarks.shape")
WAYS = {
    **{module: f"importlib.import_module({module!r})" for module in MODULES},
    "from nst": "from nst import Stylizer",
    "the program": "sys.argv = ['nst-pipeline', 'bench']; from pipeline.start import main; main()",
}


def policy(way: str, **given: str) -> str:
    """The policy with which PyTorch is imported."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", SPY + way]
    done = subprocess.run(command, env=environment | given, capture_output=True, text=True, timeout=120)
    assert not done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_threads_wait_passively_before_torch_is_imported(way: str) -> None:
    assert policy(way) == "passive"


def test_the_policy_of_the_environment_counts() -> None:
    assert policy("from nst import Stylizer", OMP_WAIT_POLICY="active") == "active"
    assert policy(WAYS["the program"], OMP_WAIT_POLICY="active") == "active"
