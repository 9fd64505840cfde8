"""An SQS queue of a bucket's notifications: its messages wake the scan at once."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.errors import StoreError, UsageError
from pipeline.inbox.inbox import manifest_name
from pipeline.inbox.notification import UnreadableError, objects
from pipeline.inbox.triggers import Trigger
from pipeline.stores.aws import connect, explained
from pipeline.stores.base import Store

_WAIT = 20  # seconds that one request for messages lasts; the longest that SQS allows
_HIDDEN = 120  # seconds that a message stays hidden from others before it must be renewed
_HELD = 100  # messages, beyond which no more are taken until some are settled
_BATCH = 10  # messages to a request, the most that SQS allows
_AGAIN = 10.0  # seconds before the next try at a queue that can't be reached
_SCANS = 2  # that must miss a manifest: one that changes hands may escape a single one

T = TypeVar("T")


@dataclass
class _Message:
    receipt: str
    names: set[str]
    missed: int = 0


class QueueEvents(Trigger):
    """Holds messages until the manifests they tell of are done or failed, and only then deletes them.

    What can't be read is left to come again, until the queue moves it to its dead-letter queue.
    """

    def __init__(
        self, url: str, inbox: Store, wake: threading.Event, note: Callable[..., None], hidden: int = _HIDDEN
    ) -> None:
        """Raises `UsageError` for what is no queue's URL, and `StoreError` if it can't be used."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.path.count("/") < 2:
            raise UsageError(
                f"--queue {url}: the URL of a queue is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
            )
        region = re.match(r"sqs\.([\w-]+)\.amazonaws\.", parts.netloc)
        self._url, self._inbox, self._wake, self._note = url, inbox, wake, note
        self._client = connect("sqs", f"{parts.scheme}://{parts.netloc}", region and region[1])
        self._call("get_queue_attributes")
        self._hidden, self._due = hidden, 0.0
        self._held: dict[str, _Message] = {}
        self._told: set[str] = set()
        self._idle = threading.Event()
        self._idle.set()
        self._lock, self._closed = threading.Lock(), threading.Event()
        threading.Thread(target=self._listen, name="queue", daemon=True).start()

    @property
    def pending(self) -> bool:
        return bool(self._held)

    def seen(self, names: set[str]) -> None:
        with self._lock:
            for message in self._held.values():
                message.missed = 0 if message.names & names else message.missed + 1
            settled = {key: m for key, m in self._held.items() if m.missed >= _SCANS}
        for entries in _batches(settled.items()):
            if self._batch("delete_message_batch", entries):
                with self._lock:
                    for key, _ in entries:
                        self._held.pop(key, None)

    def idle(self, idle: bool) -> None:
        if idle:
            self._idle.set()
        else:
            self._idle.clear()

    def close(self) -> None:
        """Stop listening, and show what is held to other runners."""
        self._closed.set()
        with self._lock:
            held, self._held = self._held, {}
        for entries in _batches(held.items()):
            self._batch("change_message_visibility_batch", entries, VisibilityTimeout=0)

    def _listen(self) -> None:
        while not self._closed.is_set():
            self._renew()
            try:
                messages = self._receive() if self._ready() else []
            except StoreError as error:
                self._tell_once(str(error), f"{error}; looking at the inbox without it")
                self._closed.wait(_AGAIN)
                continue
            for message in messages:
                self._take(message)

    def _ready(self) -> bool:
        """Wait, but not past the next renewal, until one more message can be put to use here."""
        if len(self._held) < _HELD:
            # What a busy runner took, an idle one would not hear of.
            return self._idle.wait(self._hidden / 4)
        self._closed.wait(self._hidden / 4)
        return False

    def _receive(self) -> list[dict[str, Any]]:
        answer = self._call(
            "receive_message",
            MaxNumberOfMessages=1,  # so that each of several wakes another runner
            WaitTimeSeconds=min(_WAIT, self._hidden // 4),
            VisibilityTimeout=self._hidden,
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def _take(self, message: dict[str, Any]) -> None:
        key = message["MessageId"]
        try:
            names = self._names(message["Body"])
        except UnreadableError as error:
            self._tell_once(key, f"{self._url}: message {key} is {error}; left for the dead-letter queue")
            return
        taken = _Message(message["ReceiptHandle"], names)
        if not names:
            self._batch("delete_message_batch", [(key, taken)])
            return
        with self._lock:
            wanted = self._idle.is_set() and not self._closed.is_set()
            if wanted:
                self._held[key] = taken
        if wanted:
            self._wake.set()
        else:
            self._batch("change_message_visibility_batch", [(key, taken)], VisibilityTimeout=0)

    def _names(self, body: str) -> set[str]:
        keys = (self._inbox.key(url) for url in objects(body))
        return {name for key in keys if key and (name := manifest_name(key))}

    def _renew(self) -> None:
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._hidden / 4
        with self._lock:
            held = list(self._held.items())
        for entries in _batches(held):
            self._batch("change_message_visibility_batch", entries, VisibilityTimeout=self._hidden)

    def _batch(self, operation: str, entries: Sequence[tuple[str, _Message]], **fields: int) -> bool:
        """Whether the queue was reached. A message whose receipt is stale comes again, which does no harm."""
        listed = [{"Id": str(n), "ReceiptHandle": m.receipt, **fields} for n, (_, m) in enumerate(entries)]
        try:
            self._call(operation, Entries=listed)
        except StoreError as error:
            self._tell_once(str(error), str(error))
            return False
        return True

    def _tell_once(self, key: str, message: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self._note(message, level="warning")

    def _call(self, operation: str, **arguments: object) -> Any:
        try:
            return getattr(self._client, operation)(QueueUrl=self._url, **arguments)
        except (BotoCoreError, ClientError) as error:
            raise explained(self._url, error) from None


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
