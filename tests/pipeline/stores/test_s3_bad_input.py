"""A bucket in which people and other programs change objects while a runner works."""

import json
import os
import subprocess
from typing import Any
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET, READER_KEYS
from pipeline.errors import ClaimLostError
from pipeline.inbox.inbox import Inbox
from pipeline.outbox.outbox import Outbox
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.conftest import FAKE_COMMAND, QUICK_SETTINGS, make_png

LIMIT = 10**6
NAMES = ["a b", "a+b", "100%", "a%2Fb", "ü 日本 🎨", "x" * 180]


@pytest.fixture
def inbox(seaweed: str) -> S3Store:
    return S3Store(f"s3://{BUCKET}/{uuid4().hex}/in", connect("s3", seaweed))


@pytest.fixture
def versioned(client: Any) -> S3Store:
    client.put_bucket_versioning(Bucket="bucket", VersioningConfiguration={"Status": "Enabled"})
    return S3Store("s3://bucket/in", client)


def watch(endpoint_url: str, inbox: S3Store, outbox: str, **environment: str) -> Any:
    command = [*FAKE_COMMAND, "watch", "--once"]
    command += ["--inbox", inbox.url, "--outbox", outbox, "--endpoint-url", endpoint_url]
    return subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **QUICK_SETTINGS, **environment}
    )


def test_unusual_names_and_objects_that_are_no_manifests(inbox: S3Store, seaweed: str) -> None:
    for name in NAMES:
        pair = {"content": f"{name}/ö +%.png", "style": f"{inbox.url}/{name}/ö +%.png"}
        inbox.write(f"{name}/ö +%.png", make_png(seed=1))
        inbox.write(f"{name}.json", json.dumps(pair).encode())
    inbox.write("empty.json", b"")
    for folder in ("", "folder/", "folder.json/"):
        inbox.objects.client.put_object(Bucket=inbox.bucket, Key=f"{inbox.prefix}{folder}", Body=b"")
    outbox = S3Store(inbox.url.replace("/in", "/out"), inbox.objects.client)
    ended = watch(seaweed, inbox, outbox.url)
    assert ended.returncode == 1, ended.stderr
    assert {e.name for e in inbox.entries("done")} == {f"{name}.json" for name in NAMES}
    assert [e.name for e in inbox.entries("failed")] == ["empty.error.json", "empty.json"]
    assert (
        "the file is empty"
        in json.loads(inbox.read("failed/empty.error.json", LIMIT))["errors"][0]["message"]
    )
    for name in NAMES:
        assert outbox.tag(f"{name}/index.html")


def test_a_key_that_is_too_long_below_processing_is_reported_and_the_other_manifests_are_done(
    aws: str,
) -> None:
    client, bucket = connect("s3", aws), uuid4().hex
    client.create_bucket(Bucket=bucket)
    inbox = S3Store(f"s3://{bucket}/in", client)
    longest = "y" * (1024 - len(inbox.prefix) - len(".json"))
    inbox.write("a.png", make_png(seed=1))
    for name in (longest, "z"):
        inbox.write(f"{name}.json", json.dumps({"content": "a.png", "style": "a.png"}).encode())
    ended = watch(aws, inbox, f"s3://{bucket}/out")
    assert ended.returncode == 1
    assert ended.stderr == ""
    errors = [event for event in map(json.loads, ended.stdout.splitlines()) if event["level"] == "error"]
    assert len(errors) == 1
    assert "the name is too long" in errors[0]["event"]
    assert inbox.tag("done/z.json")
    assert inbox.tag(f"{longest}.json")


def test_a_manifest_uploaded_again_during_work_is_done_again_afterwards(inbox: S3Store) -> None:
    box = Inbox(inbox)
    inbox.write("a.json", b"1")
    first = box.claim("a")
    assert first
    inbox.write("a.json", b"2")
    assert box.claim("a") is None
    first.complete()
    assert [ready.name for ready in box.scan()] == ["a"]
    second = box.claim("a")
    assert second
    assert (first.read(), second.read()) == (b"1", b"2")
    second.complete()
    assert inbox.read("done/a.json", LIMIT) == b"2"
    assert box.scan() == []


def test_a_manifest_deleted_during_work_is_not_completed(inbox: S3Store) -> None:
    inbox.write("a.json", b"1")
    claimed = Inbox(inbox).claim("a")
    assert claimed
    inbox.remove("processing/a.json")
    with pytest.raises(ClaimLostError, match=r"/processing/a\.json was moved or deleted; work on it stops"):
        claimed.complete()
    claimed.release()
    assert list(inbox.glob("**/*")) == []


def test_an_image_that_is_replaced_is_read_again(inbox: S3Store) -> None:
    inbox.write("a.png", b"old")
    assert inbox.read("a.png", LIMIT) == b"old"
    inbox.write("a.png", b"new")
    assert inbox.read("a.png", LIMIT) == b"new"


def test_the_life_of_a_manifest_where_versions_are_kept(versioned: S3Store) -> None:
    box = Inbox(versioned)
    for content in (b"1", b"2"):
        versioned.write("a.json", content)
        claimed = box.claim("a")
        assert claimed
        assert claimed.read() == content
        claimed.release()
        claimed = box.claim("a")
        assert claimed
        claimed.complete()
        assert versioned.read("done/a.json", LIMIT) == content
        assert box.scan() == []
    assert Outbox(versioned).record("a", "p") is None


def test_a_missing_permission_to_write_is_reported_before_anything_is_computed(
    inbox: S3Store, seaweed: str, tmp_path: Any
) -> None:
    inbox.write("a.json", b"{}")
    keys = {
        "AWS_ACCESS_KEY_ID": READER_KEYS["accessKey"],
        "AWS_SECRET_ACCESS_KEY": READER_KEYS["secretKey"],
    }
    refused = watch(seaweed, inbox, str(tmp_path), **keys)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "access is denied; the credentials need the permissions" in refused.stderr
    from_folder = [*FAKE_COMMAND, "watch", "--once"]
    from_folder += ["--inbox", str(tmp_path), "--outbox", inbox.url, "--endpoint-url", seaweed]
    refused = subprocess.run(from_folder, capture_output=True, text=True, env={**os.environ, **keys})
    assert "access is denied" in refused.stderr
    assert inbox.tag("a.json")
