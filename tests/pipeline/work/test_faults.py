"""Real runners with a real S3 server, while the network fails or a runner is suspended."""

import math
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET
from pipeline.errors import ConflictError, StoreError, UnavailableError
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.conftest import FAKE_COMMAND
from tests.faulty import FAULTS, STALL, Faulty, proxy, retries_at_once
from tests.pipeline.box import Box
from tests.pipeline.outcome import assert_whole

LIMIT = 10**6
MANIFESTS, PAIRS = 4, 2
# Shorter than in production, because otherwise these tests would take minutes.
HASTY = {"read_timeout": STALL / 2}
BRIEF = {"lease": 2.0, "lease_renewal": 0.5}
# With a lease of 0 seconds, each `confirm` sends a request.
IMPATIENT = Timing(read_timeout=STALL / 2, lease=0.0, lease_renewal=math.inf)


@pytest.fixture
def bucket(bucket_box: Callable[[], Box]) -> Box:
    """An inbox with two images, and an outbox."""
    box = bucket_box()
    box.fill([])
    return box


@pytest.fixture
def faulty(seaweed: str) -> Iterator[tuple[str, Faulty]]:
    with proxy(seaweed) as pair:
        yield pair


Shaky = tuple[S3Store, Faulty]


@pytest.fixture
def shaky(faulty: tuple[str, Faulty]) -> Iterator[Shaky]:
    """A store behind the proxy, whose client has short timeouts and retries without a pause."""
    endpoint_url, network = faulty
    client = connect("s3", endpoint_url, timing=IMPATIENT)
    with retries_at_once():
        yield S3Store(f"s3://{BUCKET}/{uuid4().hex}", client, IMPATIENT), network


def test_with_a_bad_network_all_pairs_are_done_exactly_once(bucket: Box, faulty: tuple[str, Faulty]) -> None:
    endpoint_url, network = faulty
    for number in range(MANIFESTS):
        bucket.drop(f"m{number}", *[{"seed": number * PAIRS + pair} for pair in range(PAIRS)])
    network.rate = 0.3
    with replace(bucket, endpoint_url=endpoint_url).watch("--once", timing=HASTY) as runner:
        assert runner.finish() == 0, runner.events
    assert bucket.names("done") == {f"m{number}.json" for number in range(MANIFESTS)}
    assert not bucket.names("") | bucket.names("processing") | bucket.names("failed")
    assert runner.count("pair done") == MANIFESTS * PAIRS
    assert network.done.keys() == {"none", *FAULTS}
    for number in range(MANIFESTS):
        for pair in range(PAIRS):
            assert_whole(bucket.outbox, f"m{number}/p{pair}")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_request_succeeds_after_a_single_fault(shaky: Shaky, fault: str) -> None:
    store, network = shaky
    requests: list[Callable[[str | None], Any]] = [
        lambda _: store.objects.put("a", b"text", absent=True),
        lambda _: store.read("a", LIMIT),
        lambda _: store.tag("a"),
        lambda _: list(store.entries("")),
        lambda tag: store.objects.put("a", b"more", match=tag),
        lambda _: store.objects.delete_all({"a": None}),
    ]
    for request in requests:
        tag = store.tag("a")
        network.fail_next(fault)
        request(tag)
    assert network.done[fault] == len(requests)
    with pytest.raises(StoreError, match="no such object"):
        store.read("a", LIMIT)


def test_a_retried_write_is_refused_if_another_client_wrote_first(shaky: Shaky) -> None:
    store, network = shaky
    store.write("a", b"theirs")
    network.fail_next("late")
    with pytest.raises(ConflictError):
        store.objects.put("a", b"ours", absent=True)
    assert store.read("a", LIMIT) == b"theirs"


def test_a_lease_is_kept_if_the_answers_of_the_server_are_lost(shaky: Shaky) -> None:
    store, network = shaky
    store.write("a", b"text")
    network.faults = ("late",)  # the server processes the requests, but its answers are lost
    network.rate = 1.0
    with pytest.raises(UnavailableError):
        store.claim("a", "held/a")
    network.rate = 0.0
    claim = store.claim("a", "held/a")
    assert claim
    network.rate = 1.0
    with pytest.raises(UnavailableError):
        claim.confirm()
    network.rate = 0.0
    claim.confirm()
    claim.move_to("done/a")
    assert store.read("done/a", LIMIT) == b"text"


def test_a_lasting_fault_is_reported_in_one_sentence(shaky: Shaky) -> None:
    store, network = shaky
    network.rate = 1.0
    for fault, message in (("slow down", "the server answers 503 SlowDown"), ("reset", "can't be reached")):
        network.faults = (fault,)
        with pytest.raises(UnavailableError, match=message):
            store.read("a", LIMIT)


def test_a_page_of_a_proxy_in_the_place_of_an_answer_is_a_fault_that_is_waited_for(shaky: Shaky) -> None:
    store, network = shaky
    store.write("a", b"text")
    network.faults, network.rate = ("sorry",), 1.0
    requests: list[Callable[[], Any]] = [
        lambda: store.read("a", LIMIT),
        lambda: store.tag("a"),
        lambda: list(store.entries("")),
        lambda: store.write("b", b"text"),
        lambda: store.move("a", "c"),
        lambda: store.objects.copy("a", "c", match="tag"),
    ]
    for request in requests:
        with pytest.raises(UnavailableError, match="this is not the answer of such a server"):
            request()
    network.rate = 0.0
    assert store.read("a", LIMIT) == b"text"


@pytest.mark.parametrize("denied", ["list", "delete"])
def test_a_missing_permission_is_reported_at_the_start(
    bucket: Box, faulty: tuple[str, Faulty], denied: str, tmp_path: Path
) -> None:
    endpoint_url, network = faulty
    if denied == "list":
        network.denies = lambda request: "list-type" in request.query
    else:
        network.denies = lambda request: request.method == "DELETE" or "delete" in request.query
    bucket.drop("m", {})
    command = [*FAKE_COMMAND, "watch", "--once", "--inbox", bucket.inbox.url, "--outbox", str(tmp_path)]
    ended = subprocess.run([*command, "--endpoint-url", endpoint_url], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "access is denied; the credentials need the permissions" in ended.stderr
    assert bucket.names("") == {"m.json"}
    assert not bucket.names("processing")


def test_a_runner_that_was_suspended_longer_than_its_lease_publishes_nothing(bucket: Box) -> None:
    bucket.drop("long", {"epochs": 25})
    with bucket.watch("--once", timing=BRIEF, engine="lasting") as first:
        first.wait_for("pair started")
        os.kill(first.process.pid, signal.SIGSTOP)
        with bucket.watch(timing=BRIEF, engine="lasting") as second:
            second.wait_for("manifest done", manifest="long")
        written = {entry.name: entry.version for entry in bucket.outbox.entries("long")}
        os.kill(first.process.pid, signal.SIGCONT)
        first.finish()
    assert any("another runner has taken over" in event["event"] for event in first.events)
    assert first.count("pair done") == 0
    assert {entry.name: entry.version for entry in bucket.outbox.entries("long")} == written
    assert bucket.names("done") == {"long.json"}
    assert not bucket.names("processing") | bucket.names("")
