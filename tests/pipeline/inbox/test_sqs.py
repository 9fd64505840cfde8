import json
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from pipeline.errors import StoreError, UsageError
from pipeline.inbox.sqs import QueueEvents
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.conftest import make_png
from tests.process import Runner

HIDDEN = 4  # seconds


@dataclass
class Queue:
    """A queue with a dead-letter queue, which a bucket's notifications go to, and what we heard of it."""

    client: Any
    url: str
    dead: str
    inbox: S3Store
    wake: threading.Event = field(default_factory=threading.Event)
    notes: list[str] = field(default_factory=list)

    def send(self, body: object) -> None:
        text = body if isinstance(body, str) else json.dumps(body)
        self.client.send_message(QueueUrl=self.url, MessageBody=text)

    def listen(self) -> QueueEvents:
        return QueueEvents(self.url, self.inbox, self.wake, lambda text, **_: self.notes.append(text), HIDDEN)

    def messages(self) -> int:
        """How many there are, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def visible(self, seconds: int, url: str = "") -> list[dict[str, Any]]:
        """What anybody else gets who asks for so long."""
        answer = self.client.receive_message(
            QueueUrl=url or self.url, WaitTimeSeconds=seconds, MaxNumberOfMessages=10, VisibilityTimeout=30
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found


@pytest.fixture
def queue(aws: str) -> Iterator[Queue]:
    name = uuid4().hex
    sqs, s3 = connect("sqs", aws), connect("s3", aws)
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]

    def arn(url: str) -> str:
        got = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return str(got["Attributes"]["QueueArn"])

    redrive = json.dumps({"deadLetterTargetArn": arn(dead), "maxReceiveCount": 2})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    s3.create_bucket(Bucket=name)
    configured = [{"QueueArn": arn(url), "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": configured}
    )
    yield Queue(sqs, url, dead, S3Store(f"s3://{name}/in", s3))


def notice(queue: Queue, *keys: str) -> dict[str, Any]:
    bucket = {"name": queue.inbox.bucket}
    return {"Records": [{"s3": {"bucket": bucket, "object": {"key": key}}} for key in keys]}


def until(queue: Queue, count: int) -> None:
    for _ in range(2000):
        if queue.messages() == count:
            return
    raise AssertionError(f"{queue.messages()} messages, not {count}; {queue.notes}")


def test_an_upload_wakes_and_its_message_goes_when_the_manifest_has_ended(queue: Queue) -> None:
    events = queue.listen()
    queue.inbox.write("a b+c.json", b"{}")
    assert queue.wake.wait(30)
    for _ in range(3):
        events.seen({"a b+c", "other"})
    events.seen(set())  # once alone may be a glimpse between two places
    events.seen({"a b+c"})
    events.seen(set())
    assert events.pending
    assert queue.messages() >= 1
    events.seen(set())
    assert not events.pending
    until(queue, 0)
    events.close()


def test_what_is_no_manifest_of_the_inbox_is_done_with_at_once(queue: Queue) -> None:
    until(queue, 1)  # by which S3 tries the queue when notifications are set up
    queue.send(notice(queue, "in/art/x.png", "in/done/a.json", "elsewhere/b.json", "in/a.error.json"))
    queue.send({"Records": [{"s3": {"bucket": {"name": "foreign"}, "object": {"key": "in/a.json"}}}]})
    events = queue.listen()
    until(queue, 0)
    assert not events.pending
    assert not queue.wake.is_set()
    events.close()


def test_one_message_of_several_manifests_waits_for_all_and_doubles_do_no_harm(queue: Queue) -> None:
    events = queue.listen()
    until(queue, 0)
    for _ in range(2):
        queue.send(notice(queue, "in/b.json", "in/a.json"))
    while len(events._held) < 2:
        assert queue.wake.wait(30)
    for _ in range(3):
        events.seen({"a"})
    assert queue.messages() == 2
    for _ in range(2):
        events.seen(set())
    until(queue, 0)
    events.close()


def test_what_cannot_be_read_ends_in_the_dead_letter_queue(queue: Queue) -> None:
    events = queue.listen()
    queue.send("hello")
    for _ in range(30):
        if found := queue.visible(1, queue.dead):
            break
    assert [message["Body"] for message in found] == ["hello"]
    assert len(queue.notes) == 1  # though it came twice
    assert "left for the dead-letter queue" in queue.notes[0]
    events.close()


def test_a_held_message_stays_hidden_and_is_shown_again_at_the_end(queue: Queue) -> None:
    events = queue.listen()
    until(queue, 0)
    queue.send(notice(queue, "in/a.json"))
    assert queue.wake.wait(30)
    for _ in range(HIDDEN + 2):
        assert queue.visible(1) == []
    events.close()
    assert len(queue.visible(10)) == 1


def test_a_queue_that_cannot_be_used_is_told(queue: Queue) -> None:
    queue.url += "x"
    with pytest.raises(StoreError, match="there is no such queue"):
        queue.listen()
    for queue.url in ("my-queue", "s3://bucket/in", "https://sqs.eu-west-1.amazonaws.com/1"):
        with pytest.raises(UsageError, match="the URL of a queue is"):
            queue.listen()


def test_a_busy_runner_leaves_messages_to_idle_ones(queue: Queue) -> None:
    busy = queue.listen()
    until(queue, 0)
    busy.idle(False)
    queue.send(notice(queue, "in/a.json"))
    for _ in range(HIDDEN):
        if found := queue.visible(2):
            break
    assert len(found) == 1
    assert not busy.pending
    busy.close()


def test_a_runner_is_woken_by_an_upload(queue: Queue, aws: str) -> None:
    # So seldom does it look by itself that only the queue can have told it.
    seldom = "from pipeline.engines import local; local._INTERVAL = 1000.0; "
    arguments = ["watch", "--inbox", queue.inbox.url, "--outbox", queue.inbox.url.replace("/in", "/out")]
    arguments += ["--endpoint-url", aws, "--queue", queue.url]
    queue.inbox.write("a b.png", make_png(32, 32))
    pair = {"content": "a b.png", "style": "a b.png", "epochs": 1, "max_size": 32}
    with Runner(*arguments, setting=seldom) as runner:
        runner.wait_for("watching")
        for name in ("first", "second one", "brok+en"):
            document = {"pairs": []} if name == "brok+en" else pair
            queue.inbox.write(f"{name}.json", json.dumps(document).encode())
            runner.wait_for("manifest failed" if name == "brok+en" else "manifest done", manifest=name)
        until(queue, 0)
        runner.process.terminate()
        assert runner.finish() == 128 + signal.SIGTERM
    assert (
        queue.client.get_queue_attributes(QueueUrl=queue.dead, AttributeNames=["All"])["Attributes"][
            "ApproximateNumberOfMessages"
        ]
        == "0"
    )
