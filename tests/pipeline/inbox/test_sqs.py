import json
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from pipeline.errors import StoreError, UsageError
from pipeline.inbox.sqs import QueueEvents
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.conftest import make_png
from tests.process import Runner

TIMING = Timing(queue_hidden=4, queue_retry=0.05)


@dataclass
class Queue:
    """A queue with the notifications of a bucket, its dead-letter queue, and the warnings of a trigger."""

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
        return QueueEvents(self.url, self.inbox, self.wake, self.notes.append, TIMING)

    def messages(self) -> int:
        """The number of messages, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def visible(self, seconds: int, url: str = "") -> list[dict[str, Any]]:
        """The messages that another client receives within this time."""
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


def notification(queue: Queue, *keys: str) -> dict[str, Any]:
    bucket = {"name": queue.inbox.bucket}
    return {"Records": [{"s3": {"bucket": bucket, "object": {"key": key}}} for key in keys]}


def until(queue: Queue, count: int) -> None:
    for _ in range(600):
        if queue.messages() == count:
            return
        time.sleep(0.1)  # nothing announces it
    raise AssertionError(f"{queue.messages()} messages, not {count}; {queue.notes}")


def test_an_upload_starts_a_scan_and_its_message_is_deleted_after_the_manifest_has_ended(
    queue: Queue,
) -> None:
    events = queue.listen()
    queue.inbox.write("a b+c.json", b"{}")
    assert queue.wake.wait(30)
    for _ in range(3):
        events.seen({"a b+c", "other"})
    events.seen(set())  # a single scan may miss a manifest while it is moved
    events.seen({"a b+c"})
    events.seen(set())
    assert events.pending
    assert queue.messages() >= 1
    events.seen(set())
    assert not events.pending
    until(queue, 0)
    events.close()


def test_messages_about_other_objects_are_deleted_immediately(queue: Queue) -> None:
    until(queue, 1)  # the test message that S3 sends when notifications are configured
    queue.send(notification(queue, "in/art/x.png", "in/done/a.json", "elsewhere/b.json", "in/a.error.json"))
    queue.send(notification(queue, "in/.hidden.json"))
    queue.send({"Records": [{"s3": {"bucket": {"name": "foreign"}, "object": {"key": "in/a.json"}}}]})
    events = queue.listen()
    until(queue, 0)
    assert not events.pending
    assert not queue.wake.is_set()
    events.close()


def test_a_message_about_several_manifests_is_kept_until_all_have_ended_even_if_received_twice(
    queue: Queue,
) -> None:
    events = queue.listen()
    until(queue, 0)
    for _ in range(2):
        queue.wake.clear()
        queue.send(notification(queue, "in/b.json", "in/a.json"))
        assert queue.wake.wait(30)
    for _ in range(3):
        events.seen({"a"})
    assert queue.messages() == 2
    for _ in range(2):
        events.seen(set())
    until(queue, 0)
    events.close()


def test_an_unreadable_message_is_left_for_the_dead_letter_queue(queue: Queue) -> None:
    events = queue.listen()
    queue.send("hello")
    for _ in range(30):
        if found := queue.visible(1, queue.dead):
            break
    assert [message["Body"] for message in found] == ["hello"]
    assert len(queue.notes) == 1  # although the message was received twice
    assert "left for the dead-letter queue" in queue.notes[0]
    events.close()


def test_a_fault_is_reported_once_until_the_queue_has_worked_again(queue: Queue) -> None:
    events = queue.listen()
    for outage in (1, 2):
        queue.client.delete_queue(QueueUrl=queue.url)
        for _ in range(3000):
            if len(queue.notes) == outage:
                break
            time.sleep(0.01)
        assert len(queue.notes) == outage
        events.collect()  # fails as well
        queue.client.create_queue(QueueName=queue.url.rpartition("/")[2])
        queue.wake.clear()
        queue.send(notification(queue, "in/a.json"))
        assert queue.wake.wait(30)
    assert len(queue.notes) == 2
    assert all("there is no such queue" in note for note in queue.notes)
    events.close()


def test_a_kept_message_is_hidden_until_the_trigger_is_closed(queue: Queue) -> None:
    events = queue.listen()
    until(queue, 0)
    queue.send(notification(queue, "in/a.json"))
    assert queue.wake.wait(30)
    for _ in range(TIMING.queue_hidden + 2):
        assert queue.visible(1) == []
    events.close()
    assert len(queue.visible(10)) == 1


def test_an_unusable_queue_is_an_error(queue: Queue) -> None:
    queue.url += "x"
    with pytest.raises(StoreError, match="there is no such queue"):
        queue.listen()
    for queue.url in ("my-queue", "s3://bucket/in", "https://sqs.eu-west-1.amazonaws.com/1"):
        with pytest.raises(UsageError, match="the URL of a queue is"):
            queue.listen()


def assert_left_to_others(queue: Queue, busy: QueueEvents) -> None:
    for _ in range(TIMING.queue_hidden):
        if found := queue.visible(2):
            break
    assert len(found) == 1
    assert not busy.pending
    busy.close()


def test_a_busy_runner_leaves_messages_to_idle_ones(queue: Queue) -> None:
    busy = queue.listen()
    until(queue, 0)
    busy.idle(False)
    queue.send(notification(queue, "in/a.json"))
    assert_left_to_others(queue, busy)


def test_a_runner_that_is_busy_again_after_collecting_leaves_messages_to_idle_ones(queue: Queue) -> None:
    busy = queue.listen()
    until(queue, 0)
    busy.collect()
    busy.idle(False)
    queue.send(notification(queue, "in/a.json"))  # while its last request for a message is being answered
    assert_left_to_others(queue, busy)


def test_an_upload_starts_a_runner_s_scan(queue: Queue, aws: str) -> None:
    # The interval of scans is so long that only the queue can start one.
    arguments = ["watch", "--inbox", queue.inbox.url, "--outbox", queue.inbox.url.replace("/in", "/out")]
    arguments += ["--endpoint-url", aws, "--queue", queue.url]
    queue.inbox.write("a b.png", make_png(32, 32))
    pair = {"content": "a b.png", "style": "a b.png", "epochs": 1, "max_size": 32}
    with Runner(*arguments, timing={"scan": 1000.0}, engine="fake") as runner:
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


def watching(queue: Queue, aws: str, *options: str) -> Runner:
    """A runner whose engine computes nothing."""
    places = ["--inbox", queue.inbox.url, "--outbox", queue.inbox.url.replace("/in", "/out")]
    arguments = [*places, "--endpoint-url", aws, "--queue", queue.url, *options]
    return Runner("watch", *arguments, engine="fake", timing={"queue_hidden": 4})


def drop(queue: Queue, *names: str) -> None:
    queue.inbox.write("a.png", make_png(32, 32))
    for name in names:
        queue.inbox.write(f"{name}.json", json.dumps({"content": "a.png", "style": "a.png"}).encode())


@pytest.mark.parametrize("options", [["--once"], ["--idle", "0.5"]])
def test_a_runner_that_ends_by_itself_has_acknowledged_all_manifests_that_are_done(
    queue: Queue, aws: str, options: list[str]
) -> None:
    names = [f"m{number}" for number in range(12)]
    drop(queue, *names)
    for name in names:  # a queue may have several messages about one manifest
        queue.send(notification(queue, f"in/{name}.json"))
    with watching(queue, aws, *options) as runner:
        assert runner.finish() == 0
    assert runner.count("manifest done") == 12
    assert queue.messages() == 0


def test_messages_of_manifests_that_others_work_on_are_left_in_the_queue(queue: Queue, aws: str) -> None:
    drop(queue, "mine", "other")
    other = S3Store(queue.inbox.url, queue.inbox.objects.client)
    list(other.entries(""))
    claim = other.claim("other.json", "processing/other.json")
    assert claim
    with watching(queue, aws, "--once") as runner:
        assert runner.finish() == 0
    found = [json.loads(message["Body"]) for message in queue.visible(1)]
    assert [body["Records"][0]["s3"]["object"]["key"] for body in found] == ["in%2Fother.json"]
    claim.release()


def test_an_idle_runner_works_on_what_comes_in_time_and_ends_then(queue: Queue, aws: str) -> None:
    with watching(queue, aws, "--idle", "4") as runner:
        runner.wait_for("watching")
        for name in ("first", "second"):
            drop(queue, name)
            runner.wait_for("manifest done", manifest=name)
        assert runner.finish() == 0
    assert queue.messages() == 0
