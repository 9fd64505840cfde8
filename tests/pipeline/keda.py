"""JSON Schemas of the kinds of KEDA that deploy/kubernetes/ uses, as far as it uses them.

Written after the documentation of KEDA, `keda.sh/v1alpha1`. A field that is not here makes a test fail, so
that a misspelt one is noticed.
"""

from typing import Any

Schema = dict[str, Any]


def _object(required: dict[str, Schema], **optional: Schema) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


TEXT: Schema = {"type": "string", "minLength": 1}
COUNT: Schema = {"type": "integer", "minimum": 0}
METADATA = _object({"name": TEXT}, labels={"type": "object"}, annotations={"type": "object"})
# The metadata of a trigger are texts, numbers and truth values, too.
_QUEUE = _object(
    {"queueURL": TEXT, "awsRegion": TEXT},
    queueLength={"type": "string", "pattern": "^[1-9][0-9]*$"},
    activationQueueLength={"type": "string", "pattern": "^[0-9]+$"},
    scaleOnInFlight={"enum": ["true", "false"]},
    scaleOnDelayed={"enum": ["true", "false"]},
)
_TRIGGER = _object(
    {"type": {"const": "aws-sqs-queue"}, "metadata": _QUEUE},
    authenticationRef=_object({"name": TEXT}),
)
SCHEMAS: dict[str, Schema] = {
    "ScaledJob": _object(
        {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "kind": {"const": "ScaledJob"},
            "metadata": METADATA,
            "spec": _object(
                # It is validated as the `spec` of a Job.
                {"jobTargetRef": {"type": "object"}, "triggers": {"type": "array", "items": _TRIGGER}},
                pollingInterval=COUNT,
                minReplicaCount=COUNT,
                maxReplicaCount=COUNT,
                successfulJobsHistoryLimit=COUNT,
                failedJobsHistoryLimit=COUNT,
                rollout=_object({"strategy": {"enum": ["default", "immediate", "gradual"]}}),
                scalingStrategy=_object({"strategy": {"enum": ["default", "accurate", "eager", "custom"]}}),
            ),
        }
    ),
    "TriggerAuthentication": _object(
        {
            "apiVersion": {"const": "keda.sh/v1alpha1"},
            "kind": {"const": "TriggerAuthentication"},
            "metadata": METADATA,
            "spec": _object(
                {},
                secretTargetRef={
                    "type": "array",
                    "items": _object({"parameter": TEXT, "name": TEXT, "key": TEXT}),
                },
                podIdentity=_object({"provider": TEXT}),
            ),
        }
    ),
}
