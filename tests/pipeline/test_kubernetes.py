"""Validates deploy/kubernetes/ without a cluster, and checks what its pods may do."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from pipeline.manifest.reading import parse
from tests.pipeline.keda import SCHEMAS

BASE = Path(__file__).parents[2] / "deploy" / "kubernetes"
VERSION = "1.33"  # of Kubernetes


def documents() -> list[dict[str, Any]]:
    listed = yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"]
    return [found for name in listed for found in yaml.safe_load_all((BASE / name).read_text())]


DOCUMENTS = documents()


def name_of(document: dict[str, Any]) -> str:
    return f"{document['kind']} {document['metadata']['name']}"


def jobs() -> Iterator[dict[str, Any]]:
    """The documents, those of KEDA as the jobs that it makes of them."""
    for document in DOCUMENTS:
        if document["kind"] == "ScaledJob":
            spec = document["spec"]["jobTargetRef"]
            yield {"apiVersion": "batch/v1", "kind": "Job", "metadata": document["metadata"], "spec": spec}
        elif document["kind"] not in SCHEMAS:
            yield document


PODS = [
    (name_of(each), each["spec"]["template"]["spec"]) for each in jobs() if "template" in each.get("spec", {})
]


def test_the_base_lists_all_of_its_files() -> None:
    kustomization = yaml.safe_load((BASE / "kustomization.yaml").read_text())
    generated = [file for each in kustomization["configMapGenerator"] for file in each.get("files", [])]
    assert {*kustomization["resources"], *generated, "kustomization.yaml"} == {
        path.name for path in BASE.iterdir()
    }


@pytest.mark.parametrize("document", list(jobs()), ids=name_of)
def test_each_resource_is_valid(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("document", [d for d in DOCUMENTS if d["kind"] in SCHEMAS], ids=name_of)
def test_each_resource_of_keda_is_valid(document: dict[str, Any]) -> None:
    jsonschema.validate(document, SCHEMAS[document["kind"]])


def test_a_misspelt_field_is_noticed() -> None:
    scaled = next(d for d in DOCUMENTS if d["kind"] == "ScaledJob")
    wrong = {**scaled, "spec": {**scaled["spec"], "maxReplicasCount": 8}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMAS["ScaledJob"])
    job = next(d for d in jobs() if d["kind"] == "Job")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate({**job, "spec": {**job["spec"], "completion": 3}}, VERSION, strict=True)


@pytest.mark.parametrize(("name", "pod"), PODS, ids=[name for name, _ in PODS])
def test_pods_have_no_rights_that_they_do_not_need(name: str, pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False  # NST_PORT would be set beside a service that is called nst
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == ["/tmp"]


def test_what_computes_has_one_gpu_and_the_door_has_none_but_probes() -> None:
    containers = {name: pod["containers"][0] for name, pod in PODS}
    gpus = {name: found["resources"]["limits"].get("nvidia.com/gpu") for name, found in containers.items()}
    assert gpus == {"Job nst-runners": 1, "Job nst-shards": 1, "Deployment nst-serve": None}
    serve = containers["Deployment nst-serve"]
    assert serve["livenessProbe"]["httpGet"]["path"] == serve["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert serve["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert "--no-work" in serve["args"]


def test_the_shards_know_how_many_they_are_and_find_the_manifest_at_one_place() -> None:
    spec = next(d for d in DOCUMENTS if d["kind"] == "Job")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    assert {"name": "NST_SHARDS", "value": str(spec["completions"])} in container["env"]
    assert container["args"][-2:] == ["--shard", "auto"]
    (mount,) = [each for each in container["volumeMounts"] if each["name"] == "manifest"]
    assert mount["mountPath"] == container["args"][1]
    assert mount["subPath"] == "large.json"
    assert spec["completionMode"] == "Indexed"
    assert "backoffLimitPerIndex" in spec


def test_the_example_of_a_manifest_is_valid() -> None:
    assert parse((BASE / "large.json").read_bytes()).product


def test_a_rollout_leaves_running_jobs_alone() -> None:
    (scaled,) = [d for d in DOCUMENTS if d["kind"] == "ScaledJob"]
    assert scaled["spec"]["rollout"]["strategy"] == "gradual"


def test_a_machine_that_is_taken_away_is_no_fault_of_a_job_and_wrong_usage_is_not_repeated() -> None:
    for name, exits in (
        ("nst-runners", {1: "FailJob", 2: "FailJob"}),
        ("nst-shards", {2: "FailIndex"}),
    ):
        (job,) = [d for d in jobs() if d["metadata"]["name"] == name and d["kind"] == "Job"]
        rules = job["spec"]["podFailurePolicy"]["rules"]
        assert rules[0]["action"] == "Ignore"
        assert rules[0]["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
        found = {value: rule["action"] for rule in rules[1:] for value in rule["onExitCodes"]["values"]}
        assert found == exits
