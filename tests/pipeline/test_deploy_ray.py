"""Checks the files for Ray: against Ray's own schema, against each other, and against this version."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

import nst
from pipeline.cli import app

ROOT = Path(__file__).parents[2]
ray = pytest.importorskip("ray")


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / "deploy" / "ray" / name).read_text())


def constrained(package: str) -> str:
    """The version of a package in the constraints."""
    found = re.search(rf"^{package}==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert found
    return found[1]


def pods(job: Any) -> list[Any]:
    """The specifications of the head and of the workers."""
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_the_cluster_file_is_valid_for_the_launcher_of_ray() -> None:
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(read("cluster.yaml"), schema)


def test_the_cluster_file_installs_this_version_and_the_constrained_ray() -> None:
    cluster, wheel = read("cluster.yaml"), f"nst_pipeline-{nst.__version__}-py3-none-any.whl"
    assert cluster["file_mounts"][f"~/{wheel}"] == wheel
    (install,) = [text for text in cluster["setup_commands"] if "pip install" in text]
    assert f'"$HOME/{wheel}[ray]"' in install
    assert f"=={constrained('ray')}'" in install


def test_head_and_workers_have_one_image_of_this_version_and_the_constrained_ray() -> None:
    job = read("rayjob.yaml")
    assert {pod["containers"][0]["image"] for pod in pods(job)} == {f"nst-pipeline-ray:{nst.__version__}"}
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == constrained("ray")


def test_pods_have_no_rights_and_only_the_head_has_a_token_of_kubernetes() -> None:
    head, worker = pods(read("rayjob.yaml"))
    assert "automountServiceAccountToken" not in head  # the autoscaler beside it needs one
    assert worker["automountServiceAccountToken"] is False
    for pod in (head, worker):
        (container,) = pod["containers"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_nobody_without_the_token_runs_code_in_the_cluster() -> None:
    assert read("rayjob.yaml")["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    cluster = read("cluster.yaml")
    assert cluster["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    for kind in ("head", "worker"):
        assert "RAY_AUTH_MODE=token ray start" in cluster[f"{kind}_start_ray_commands"][-1]


def test_a_job_that_has_failed_is_not_hidden_by_a_second_try() -> None:
    assert read("rayjob.yaml")["spec"]["backoffLimit"] == 0


def test_only_workers_have_a_gpu() -> None:
    head, worker = pods(read("rayjob.yaml"))
    assert "nvidia.com/gpu" not in head["containers"][0]["resources"]["limits"]
    assert worker["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1


def test_the_job_calls_a_command_that_exists() -> None:
    program, command, *arguments = read("rayjob.yaml")["spec"]["entrypoint"].split()
    assert program == "nst-pipeline"
    group: Any = get_command(app)
    group.commands[command].make_context(command, list(arguments))
