"""Checks the CloudFormation templates without an account: no local server simulates all of their parts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.inbox.inbox import Inbox
from pipeline.inbox.layout import manifest_name
from pipeline.stores.memory import MemoryStore
from tests.pipeline.cloudformation import load, matches

DEPLOY = Path(__file__).parents[2] / "deploy"
STACK, BATCH = DEPLOY / "stack.yaml", DEPLOY / "aws" / "batch.yaml"


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    found: dict[str, Any] = load(BATCH)["Resources"]
    return found


def properties(resources: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    return (each["Properties"] for each in resources.values() if each["Type"] == kind)


def statements(resources: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All statements of policies that allow something."""
    for role in properties(resources, "AWS::IAM::Role"):
        for policy in role.get("Policies", []):
            yield from policy["PolicyDocument"]["Statement"]
    for policy in properties(resources, "AWS::SQS::QueuePolicy"):
        yield from policy["PolicyDocument"]["Statement"]


def wakes(resources: dict[str, Any], key: str, **changes: Any) -> bool:
    """Whether an object that was written under a key starts a runner."""
    event = {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "detail": {"bucket": {"name": "<BucketName>"}, "object": {"key": key}, "reason": "PutObject"},
    } | changes
    rules = [resources[name]["Properties"]["EventPattern"] for name in ("Uploads", "Manifests")]
    return all(matches(rule, event) for rule in rules)


def test_the_linter_reports_no_problem_in_the_templates() -> None:
    linter = Path(sys.executable).parent / "cfn-lint"
    checked = subprocess.run([linter, STACK, BATCH], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    "key", ["in/a.json", "in/A.JSON", "in/two words.json", "in/a.b.json", "in/café.json", "in/error.json"]
)
def test_an_uploaded_manifest_starts_a_runner(resources: dict[str, Any], key: str) -> None:
    assert wakes(resources, key)


@pytest.mark.parametrize(
    "key",
    [
        *(f"in/{folder}/a.json" for folder in ("processing", "done", "failed", "requests/request-0", "my")),
        *(
            "in/processing/a.json.lease",
            "in/failed/a.error.json",
            "in/a.error.json",
            "in/.a.json",
            "in//a.json",
        ),
        *("in/cat.jpg", "in/json", "a.json", "out/a/p0.json", "other/in/a.json", "inbox/a.json"),
    ],
)
def test_nothing_else_starts_a_runner(resources: dict[str, Any], key: str) -> None:
    assert not wakes(resources, key)


def test_only_new_objects_of_the_bucket_start_a_runner(resources: dict[str, Any]) -> None:
    assert not wakes(resources, "in/a.json", **{"detail-type": "Object Deleted"})
    other = {"bucket": {"name": "other"}, "object": {"key": "in/a.json"}}
    assert not wakes(resources, "in/a.json", detail=other)


def test_the_rules_agree_with_what_a_runner_takes_for_a_manifest(resources: dict[str, Any]) -> None:
    keys = ["a.json", "A.JSON", "x.error.json", "done/a.json", ".hidden.json", "a.txt", "requests/a.json"]
    store = MemoryStore("rules")
    for key in keys:
        store.write(key, b"{}")
    taken = {ready.name for ready in Inbox(store).scan()}
    started = {manifest_name(key) for key in keys if wakes(resources, f"in/{key}")}
    assert started == taken == {"a", "A"}


def test_a_burst_of_uploads_is_one_job_and_a_later_upload_is_not_missed(resources: dict[str, Any]) -> None:
    queue = resources["WakeUps"]["Properties"]
    assert queue["FifoQueue"] is queue["ContentBasedDeduplication"] is True
    (target,) = resources["Manifests"]["Properties"]["Targets"]
    assert json.loads(target["Input"]) == {"start": "runner"}
    assert "InputTransformer" not in target  # nothing of the event is in the message
    daily = resources["Daily"]["Properties"]["Target"]
    assert (daily["Input"], daily["SqsParameters"]) == (target["Input"], target["SqsParameters"])
    command = resources["JobDefinition"]["Properties"]["ContainerProperties"]["Command"]
    assert command[0] == "watch"
    assert float(command[command.index("--idle") + 1]) > 300  # seconds for which equal messages are dropped


def test_nothing_runs_while_there_is_no_work(resources: dict[str, Any]) -> None:
    assert resources["Instances"]["Properties"]["ComputeResources"]["MinvCpus"] == 0
    (logs,) = properties(resources, "AWS::Logs::LogGroup")
    assert logs["RetentionInDays"] == 30


def test_a_job_is_tried_again_except_after_success_and_wrong_settings(
    resources: dict[str, Any],
) -> None:
    rules = resources["JobDefinition"]["Properties"]["RetryStrategy"]["EvaluateOnExit"]
    retried = [rule for rule in rules if rule["Action"] == "RETRY"]
    assert [next(iter(rule.values())) for rule in retried] == [
        "Host EC2*",
        "Your Spot Task was interrupted*",
        "1*",
    ]
    assert len(rules) <= 5  # a limit of Batch
    # Batch tries again what no rule matches.
    assert rules[-1] == {"OnExitCode": "*", "Action": "EXIT"}
    user_data = resources["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["UserData"]["Fn::Base64"]
    assert "ECS_ENABLE_SPOT_INSTANCE_DRAINING=true" in user_data


def test_each_permission_is_for_named_resources_and_each_role_for_this_account(
    resources: dict[str, Any],
) -> None:
    for statement in statements(resources):
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        assert not any("*" in action for action in actions), statement
        if statement["Resource"] == "*":
            assert actions == ["ecr:GetAuthorizationToken"]  # which has no resources
    for role in properties(resources, "AWS::IAM::Role"):
        for statement in role["AssumeRolePolicyDocument"]["Statement"]:
            service = statement["Principal"]["Service"]
            assert service == "ec2.amazonaws.com" or "aws:SourceAccount" in str(statement["Condition"])
    for queue in properties(resources, "AWS::SQS::Queue"):
        assert queue["SqsManagedSseEnabled"] is True
