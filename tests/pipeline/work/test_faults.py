"""Real runners before a real S3 server, while the network between them fails or a runner falls asleep."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET
from pipeline.errors import ConflictError, StoreError, UnavailableError
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.conftest import COMMAND, make_png
from tests.faulty import FAULTS, STALL, Faulty, proxy
from tests.pipeline.outcome import assert_whole, documents
from tests.process import Runner

LIMIT = 10**6
MANIFESTS, PAIRS = 4, 2
PAIR = {"content": "a.png", "style": "b.png", "max_size": 32, "epochs": 1}
# Time-outs and leases as they are in earnest would make these tests take minutes.
HASTY = f"from pipeline.stores import aws; aws._READ_TIMEOUT = {STALL / 2}; "
BRIEF = "from pipeline.stores import lease; lease.LEASE = 2.0; "


class Bucket:
    """An inbox with two images, and an outbox."""

    def __init__(self, endpoint_url: str) -> None:
        client, run = connect("s3", endpoint_url), uuid4().hex
        self.endpoint_url = endpoint_url
        self.inbox, self.outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
        for seed, name in enumerate(("a.png", "b.png")):
            self.inbox.write(name, make_png(32, 32, seed))

    def drop(self, name: str, *pairs: Mapping[str, object]) -> None:
        document = {"pairs": [{**PAIR, "id": f"p{n}", **pair} for n, pair in enumerate(pairs)]}
        self.inbox.write(f"{name}.json", json.dumps(document).encode())

    def watch(self, *options: str, setting: str = "", endpoint_url: str = "") -> Runner:
        arguments = ["watch", "--inbox", self.inbox.url, "--outbox", self.outbox.url]
        arguments += ["--endpoint-url", endpoint_url or self.endpoint_url, *options]
        return Runner(*arguments, setting=setting)

    def names(self, folder: str) -> set[str]:
        return documents(self.inbox, folder)


@pytest.fixture
def bucket(seaweed: str) -> Bucket:
    return Bucket(seaweed)


@pytest.fixture
def faulty(seaweed: str) -> Iterator[tuple[str, Faulty]]:
    with proxy(seaweed) as pair:
        yield pair


Shaky = tuple[S3Store, Faulty]


@pytest.fixture
def shaky(faulty: tuple[str, Faulty], monkeypatch: pytest.MonkeyPatch) -> Shaky:
    """A store behind the proxy, whose client neither waits long nor rests between its tries."""
    monkeypatch.setattr("pipeline.stores.aws._READ_TIMEOUT", STALL / 2)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    endpoint_url, network = faulty
    return S3Store(f"s3://{BUCKET}/{uuid4().hex}", connect("s3", endpoint_url)), network


def test_a_bad_network_costs_time_and_nothing_else(bucket: Bucket, faulty: tuple[str, Faulty]) -> None:
    endpoint_url, network = faulty
    for number in range(MANIFESTS):
        bucket.drop(f"m{number}", *[{"seed": number * PAIRS + pair} for pair in range(PAIRS)])
    network.rate = 0.3
    with bucket.watch("--once", setting=HASTY, endpoint_url=endpoint_url) as runner:
        assert runner.finish() == 0, runner.events
    assert bucket.names("done") == {f"m{number}.json" for number in range(MANIFESTS)}
    assert not bucket.names("") | bucket.names("processing") | bucket.names("failed")
    assert runner.count("pair done") == MANIFESTS * PAIRS
    assert network.done.keys() == {"none", *FAULTS}
    for number in range(MANIFESTS):
        for pair in range(PAIRS):
            assert_whole(bucket.outbox, f"m{number}/p{pair}")


@pytest.mark.parametrize("fault", FAULTS)
def test_one_fault_is_not_noticed(shaky: Shaky, fault: str) -> None:
    store, network = shaky
    requests: list[Callable[[str | None], Any]] = [
        lambda _: store.put("a", b"text", absent=True),
        lambda _: store.read("a", LIMIT),
        lambda _: store.tag("a"),
        lambda _: list(store.entries("")),
        lambda tag: store.put("a", b"more", match=tag),
        lambda _: store.remove_all({"a": None}),
    ]
    for request in requests:
        tag = store.tag("a")
        network.fail_next(fault)
        request(tag)
    assert network.done[fault] == len(requests)
    with pytest.raises(StoreError, match="no such object"):
        store.read("a", LIMIT)


def test_a_retried_write_does_not_pass_for_another_one(shaky: Shaky) -> None:
    store, network = shaky
    store.write("a", b"theirs")
    network.fail_next("late")
    with pytest.raises(ConflictError):
        store.put("a", b"ours", absent=True)
    assert store.read("a", LIMIT) == b"theirs"


def test_a_lease_whose_answers_were_lost_is_still_ours(shaky: Shaky) -> None:
    store, network = shaky
    store.write("a", b"text")
    network.faults = ("late",)  # done, each time, but we never hear of it
    network.rate = 1.0
    with pytest.raises(UnavailableError):
        store.claim("a", "held/a")
    network.rate = 0.0
    claim = store.claim("a", "held/a")
    assert claim
    network.rate = 1.0
    with pytest.raises(UnavailableError):
        claim._lease.renew()
    network.rate = 0.0
    claim._lease.renew()
    claim.move_to("done/a")
    assert store.read("done/a", LIMIT) == b"text"


def test_what_goes_on_is_told_in_one_sentence(shaky: Shaky) -> None:
    store, network = shaky
    network.rate = 1.0
    for fault, said in (("slow down", "the server answers 503 SlowDown"), ("reset", "can't be reached")):
        network.faults = (fault,)
        with pytest.raises(UnavailableError, match=said):
            store.read("a", LIMIT)


@pytest.mark.parametrize("denied", ["list", "delete"])
def test_a_permission_that_lacks_is_told_at_the_start(
    bucket: Bucket, faulty: tuple[str, Faulty], denied: str, tmp_path: Path
) -> None:
    endpoint_url, network = faulty
    if denied == "list":
        network.denies = lambda request: "list-type" in request.query
    else:
        network.denies = lambda request: request.method == "DELETE" or "delete" in request.query
    bucket.drop("m", {})
    command = [*COMMAND, "watch", "--once", "--inbox", bucket.inbox.url, "--outbox", str(tmp_path)]
    ended = subprocess.run([*command, "--endpoint-url", endpoint_url], capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "access is denied; the credentials need the permissions" in ended.stderr
    assert bucket.names("") == {"m.json"}
    assert not bucket.names("processing")


def test_a_runner_that_slept_past_its_lease_publishes_nothing(bucket: Bucket) -> None:
    bucket.drop("long", {"epochs": 10, "init": "random"})
    with bucket.watch("--once", setting=BRIEF) as late:
        late.wait_for("pair started")
        os.kill(late.process.pid, signal.SIGSTOP)
        with bucket.watch(setting=BRIEF) as heir:
            heir.wait_for("manifest done", manifest="long")
        written = {entry.name: entry.version for entry in bucket.outbox.entries("long")}
        os.kill(late.process.pid, signal.SIGCONT)
        late.finish()
    assert any("another runner has taken over" in event["event"] for event in late.events)
    assert late.count("pair done") == 0
    assert {entry.name: entry.version for entry in bucket.outbox.entries("long")} == written
    assert bucket.names("done") == {"long.json"}
    assert not bucket.names("processing") | bucket.names("")
