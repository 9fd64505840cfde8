"""Reads a message about a bucket: from S3, from S3 through SNS, or from EventBridge."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_plus


def objects(body: str) -> list[str]:
    """The URLs of the objects that a message is about, `s3://bucket/key`. Raises `ValueError`."""
    try:
        return _objects(json.loads(body))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ValueError("not a notification of S3, SNS or EventBridge") from None


def _objects(message: dict[str, Any]) -> list[str]:
    if message.get("Event") == "s3:TestEvent":
        return []
    if message.get("Type") == "Notification":
        return objects(message["Message"])
    if message.get("source") == "aws.s3":
        # EventBridge does not encode keys; S3 encodes them as HTML forms do.
        return [_url(message["detail"], lambda key: key)]
    return [_url(record["s3"], unquote_plus) for record in message["Records"]]


def _url(detail: dict[str, Any], decoded: Callable[[str], str]) -> str:
    return f"s3://{detail['bucket']['name']}/{decoded(detail['object']['key'])}"
