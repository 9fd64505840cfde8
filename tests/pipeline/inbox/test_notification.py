import json
from typing import Any

import pytest

from pipeline.inbox.notification import objects


def s3(*keys: str, event: str = "ObjectCreated:Put") -> dict[str, Any]:
    records = [{"eventName": event, "s3": {"bucket": {"name": "b"}, "object": {"key": key}}} for key in keys]
    return {"Records": records}


def test_a_notification_may_have_several_records_with_encoded_keys() -> None:
    body = json.dumps(s3("in/a+b%2Bc%25.json", "in/%C3%A9.json"))
    assert objects(body) == ["s3://b/in/a b+c%.json", "s3://b/in/é.json"]


def test_a_notification_may_come_through_sns() -> None:
    assert objects(json.dumps({"Type": "Notification", "Message": json.dumps(s3("x"))})) == ["s3://b/x"]


def test_keys_of_eventbridge_are_not_decoded() -> None:
    detail = {"bucket": {"name": "b"}, "object": {"key": "a+b%2B.json"}}
    event = {"source": "aws.s3", "detail-type": "Object Created", "detail": detail}
    assert objects(json.dumps(event)) == ["s3://b/a+b%2B.json"]


def test_the_test_message_of_s3_names_no_objects() -> None:
    assert objects(json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "b"})) == []


@pytest.mark.parametrize(
    "body",
    [
        *("", "hello", "null", "[]", "7", "{}", "[" * 10**5),
        *('{"Records": [{}]}', '{"Records": 3}', '{"Records": [{"s3": null}]}'),
        *('{"Type": "Notification", "Message": 3}', '{"source": "aws.s3", "detail": []}'),
    ],
)
def test_any_other_message_is_unreadable(body: str) -> None:
    with pytest.raises(ValueError, match="not a notification"):
        objects(body)
