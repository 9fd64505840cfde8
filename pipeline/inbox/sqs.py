"""An SQS queue that receives a bucket's notifications. Its messages start the next scan at once."""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pipeline.errors import StoreError, UnavailableError, UsageError
from pipeline.inbox.layout import manifest_name
from pipeline.inbox.notification import objects
from pipeline.inbox.triggers import Trigger
from pipeline.stores.aws import FAULTS, NO_SERVER, connect, explained
from pipeline.stores.base import Store
from pipeline.timing import Timing

_WAIT = 20  # seconds for which one request waits for messages; the longest that SQS allows
_WAIT_AT_END = 2  # seconds without a message, after which there is none
_HELD = 100  # messages; no more are received until some of these are deleted
_BATCH = 10  # messages in a request, the most that SQS allows
_MOST_UNREADABLE = 1000  # messages of which is remembered that they were reported
_SCANS = 2  # in a row that must not find a manifest: one scan may miss one that is just being moved

T = TypeVar("T")


@dataclass
class _Message:
    receipt: str
    names: set[str]
    missed: int = 0  # scans in a row that found none of the names


class QueueEvents(Trigger):
    """Keeps messages until the manifests that they announce are done or failed, and deletes them then.

    A message that can't be read stays in the queue until SQS moves it to the dead-letter queue.
    """

    def __init__(
        self,
        url: str,
        inbox: Store,
        wake: threading.Event,
        warn: Callable[[str], None],
        timing: Timing = Timing(),
    ) -> None:
        """`wake` is set when a message arrives; `warn` logs a sentence.

        Raises `UsageError` if the URL is not that of a queue, and `StoreError` if the queue can't be used.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.path.count("/") < 2:
            raise UsageError(
                f"--queue {url}: the URL of a queue is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
            )
        region = re.match(r"sqs\.([\w-]+)\.amazonaws\.", parts.netloc)
        self._url, self._inbox, self._wake, self._warn, self._timing = url, inbox, wake, warn, timing
        self._client = connect("sqs", f"{parts.scheme}://{parts.netloc}", region and region[1], timing)
        self._faults: dict[str, set[str]] = {}  # that were reported, with the operations that have met them
        self._unreadable: set[str] = set()  # ids of messages that were reported
        self._lock = threading.Lock()
        self._request("get_queue_attributes")
        self._renewal = timing.queue_hidden / 4  # seconds between two renewals
        self._renewal_due = 0.0
        self._held: dict[str, _Message] = {}
        self._idle = threading.Event()
        self._idle.set()
        self._collecting = False  # whether the work ends, so that every message is kept; `idle` ends that
        self._closed = threading.Event()
        threading.Thread(target=self._listen, name="queue", daemon=True).start()

    @property
    def pending(self) -> bool:
        return bool(self._held)

    @property
    def longest_interval(self) -> float | None:
        # While it holds messages, scans must show soon that their manifests have ended.
        return None if self.pending else self._timing.scan_beside_queue

    def seen(self, names: set[str]) -> None:
        with self._lock:
            for message in self._held.values():
                message.missed = 0 if message.names & names else message.missed + 1
            ended = {key: m for key, m in self._held.items() if m.missed >= _SCANS}
        for entries in _batches(ended.items()):
            if self._change("delete_message_batch", entries):
                with self._lock:
                    for key, _ in entries:
                        self._held.pop(key, None)

    def collect(self) -> bool:
        self._collecting = True
        found = 0
        try:
            while found < _HELD and (messages := self._receive(_BATCH, _WAIT_AT_END)):
                found += len(messages)
                for message in messages:
                    self._keep_or_delete(message)
        except StoreError as error:
            self._report("receive_message", error)
        return found > 0

    def idle(self, idle: bool) -> None:
        self._collecting = False
        if idle:
            self._idle.set()
        else:
            self._idle.clear()

    def close(self) -> None:
        """Stop receiving, and make the kept messages visible to other runners."""
        self._closed.set()
        with self._lock:
            held, self._held = self._held, {}
        for entries in _batches(held.items()):
            self._change("change_message_visibility_batch", entries, VisibilityTimeout=0)

    def _listen(self) -> None:
        while not self._closed.is_set():
            self._renew()
            try:
                # One message at a time, so that several messages wake several runners.
                messages = self._receive(1, _WAIT) if self._wait_until_ready() else []
            except StoreError as error:
                self._report("receive_message", error, "; the inbox is scanned without the queue")
                self._closed.wait(self._timing.queue_retry)
                continue
            for message in messages:
                self._keep_or_delete(message)

    def _wait_until_ready(self) -> bool:
        """Whether this runner can use one more message; waits for that until the next renewal at most."""
        if len(self._held) < _HELD:
            # A busy runner receives nothing, because an idle one can start at once.
            return self._idle.wait(self._renewal)
        self._closed.wait(self._renewal)
        return False

    def _receive(self, most: int, wait: int) -> list[dict[str, Any]]:
        answer = self._request(
            "receive_message",
            MaxNumberOfMessages=most,
            WaitTimeSeconds=min(wait, int(self._renewal)),
            VisibilityTimeout=self._timing.queue_hidden,
        )
        found: list[dict[str, Any]] = answer.get("Messages", [])
        return found

    def _keep_or_delete(self, message: dict[str, Any]) -> None:
        key = message["MessageId"]
        try:
            names = self._manifests_in(message["Body"])
        except ValueError as error:
            if key not in self._unreadable:
                self._warn(f"{self._url}: message {key} is {error}; left for the dead-letter queue")
            if len(self._unreadable) >= _MOST_UNREADABLE:
                self._unreadable.clear()
            self._unreadable.add(key)
            return
        received = _Message(message["ReceiptHandle"], names)
        if not names:
            self._change("delete_message_batch", [(key, received)])
            return
        with self._lock:
            wanted = (self._idle.is_set() or self._collecting) and not self._closed.is_set()
            if wanted:
                self._held[key] = received
        if wanted:
            self._wake.set()
        else:
            self._change("change_message_visibility_batch", [(key, received)], VisibilityTimeout=0)

    def _manifests_in(self, body: str) -> set[str]:
        keys = (self._inbox.key(url) for url in objects(body))
        return {name for key in keys if key and (name := manifest_name(key))}

    def _renew(self) -> None:
        """Hide the kept messages from other runners for some more time, if it is time to do so."""
        if time.monotonic() < self._renewal_due:
            return
        self._renewal_due = time.monotonic() + self._renewal
        with self._lock:
            held = list(self._held.items())
        for entries in _batches(held):
            self._change(
                "change_message_visibility_batch", entries, VisibilityTimeout=self._timing.queue_hidden
            )

    def _change(self, operation: str, entries: Sequence[tuple[str, _Message]], **fields: int) -> bool:
        """Do an operation on a batch of messages. Returns whether the queue could be reached.

        SQS refuses it for a message whose receipt has expired. Such a message is received again later,
        which is harmless.
        """
        listed = [{"Id": str(n), "ReceiptHandle": m.receipt, **fields} for n, (_, m) in enumerate(entries)]
        try:
            self._request(operation, Entries=listed)
        except StoreError as error:
            self._report(operation, error)
            return False
        return True

    def _report(self, operation: str, error: StoreError, effect: str = "") -> None:
        """Report a fault once, until an operation that has met it succeeds."""
        with self._lock:
            met = self._faults.setdefault(str(error), set())
            known = bool(met)
            met.add(operation)
        if not known:
            self._warn(f"{error}{effect}")

    def _request(self, operation: str, **arguments: object) -> Any:
        try:
            answer = getattr(self._client, operation)(QueueUrl=self._url, **arguments)
        except FAULTS as error:
            raise explained(self._url, error) from None
        if "html" in answer["ResponseMetadata"]["HTTPHeaders"].get("content-type", ""):
            raise UnavailableError(f"{self._url}: {NO_SERVER}")  # botocore takes any page for an empty answer
        with self._lock:
            self._faults = {text: met for text, met in self._faults.items() if operation not in met}
        return answer


def _batches(items: Iterable[T]) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, _BATCH)):
        yield batch
