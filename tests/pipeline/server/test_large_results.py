"""Results that are larger than the door reads at once: they are sent in parts of one version."""

import os
import select
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from manifests.demo_s3 import BUCKET
from pipeline.errors import UnavailableError
from pipeline.events.listener import Note
from pipeline.stores.aws import connect
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store
from tests.pipeline.server.conftest import QUICK, Serve, Served
from tests.pipeline.server.raw import head
from tests.pipeline.stores.requests_made import Requests

MIB = 2**20
LARGE, NEWER = os.urandom(9 * MIB + 5), os.urandom(9 * MIB + 5)
PICTURE = "/results/m/p.png"


@pytest.fixture
def filled(serve: Serve) -> Served:
    served = serve(works=False)
    served.outbox.write("m/p.png", LARGE)
    served.outbox.calls.clear()
    return served


def at_parts(store: MemoryStore, action: Callable[[int], None]) -> None:
    """Call `action` with 1, 2, ... before each read of a part."""
    count = 0

    def before(verb: str, key: str) -> None:
        nonlocal count
        if verb == "part":
            count += 1
            action(count)

    store.before = before


def test_a_large_file_is_sent_whole_and_read_in_parts(filled: Served) -> None:
    answer = filled.client.get(PICTURE)
    assert answer.content == LARGE
    assert answer.headers["content-length"] == str(len(LARGE))
    assert filled.outbox.calls == [("part", "m/p.png")] * 3


def test_a_large_range_is_read_in_parts_and_a_small_one_at_once(filled: Served) -> None:
    answer = filled.client.get(PICTURE, headers={"Range": f"bytes={MIB}-{6 * MIB}"})
    assert (answer.status_code, answer.content) == (206, LARGE[MIB : 6 * MIB + 1])
    assert [verb for verb, _ in filled.outbox.calls] == ["entry", "part", "part"]
    filled.outbox.calls.clear()
    assert filled.client.get(PICTURE, headers={"Range": "bytes=-7"}).content == LARGE[-7:]
    assert [verb for verb, _ in filled.outbox.calls] == ["entry", "part"]


def test_a_file_that_the_client_has_is_not_read(filled: Served) -> None:
    tag = filled.client.head(PICTURE).headers["etag"]
    assert filled.client.get(PICTURE, headers={"If-None-Match": tag}).status_code == 304
    assert [verb for verb, _ in filled.outbox.calls] == ["entry", "entry"]


@pytest.mark.parametrize("replaced", [2, 3])
def test_a_file_that_is_replaced_while_it_is_sent_is_not_mixed_with_the_newer_one(
    filled: Served, replaced: int
) -> None:
    def replace(part: int) -> None:
        if part == replaced:
            filled.outbox.write("m/p.png", NEWER)

    at_parts(filled.outbox, replace)
    received = b""
    with pytest.raises(httpx.RemoteProtocolError), filled.client.stream("GET", PICTURE) as answer:
        for part in answer.iter_bytes():
            received += part
    assert LARGE.startswith(received)
    filled.listener.wait_for(
        Note, lambda note: "the answer was not sent to its end" in note.message and "m/p.png" in note.message
    )
    assert filled.client.get(PICTURE).content == NEWER


def test_a_file_that_is_replaced_before_its_first_part_is_the_newer_one(filled: Served) -> None:
    def replace(part: int) -> None:
        if part == 1:
            filled.outbox.write("m/p.png", NEWER)

    at_parts(filled.outbox, replace)
    answer = filled.client.get(PICTURE, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.content) == (206, NEWER[10:20])


def test_a_file_that_is_replaced_again_and_again_is_refused_for_now(filled: Served) -> None:
    def replace(part: int) -> None:
        filled.outbox.write("m/p.png", NEWER)

    at_parts(filled.outbox, replace)
    answer = filled.client.get(PICTURE, headers={"Range": "bytes=10-19"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


def test_a_store_that_fails_while_a_file_is_sent_is_reported(filled: Served) -> None:
    def fail(part: int) -> None:
        if part == 2:
            raise UnavailableError("the bucket can't be reached")

    at_parts(filled.outbox, fail)
    with pytest.raises(httpx.RemoteProtocolError):
        filled.client.get(PICTURE)
    filled.listener.wait_for(Note, lambda note: "the bucket can't be reached" in note.message)


def test_a_folder_sends_large_files_and_ranges(serve: Serve, tmp_path: Path) -> None:
    inbox, outbox = FolderStore(tmp_path / "in"), FolderStore(tmp_path / "out")
    served = serve(works=False, places=(inbox, outbox))
    for store in (inbox, outbox):
        store.make()
    outbox.write("m/p.png", LARGE)
    first = served.client.get(PICTURE)
    assert first.content == LARGE
    assert served.client.get(PICTURE, headers={"Range": "bytes=5-14"}).content == LARGE[5:15]
    outbox.write("m/p.png", NEWER)
    known = {"If-None-Match": first.headers["etag"]}
    assert served.client.get(PICTURE, headers=known).content == NEWER


def test_a_range_of_a_file_in_a_bucket_takes_one_request_for_its_bytes(serve: Serve, seaweed: str) -> None:
    client, run = connect("s3", seaweed), uuid4().hex
    inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{end}", client) for end in ("in", "out"))
    served = serve(works=False, places=(inbox, outbox), endpoint_url=seaweed)
    outbox.write("m/p.png", LARGE)
    requests = Requests(client, BUCKET)
    key = f"{run}/out/m/p.png"
    answer = served.client.get(PICTURE, headers={"Range": "bytes=5-14"})
    assert (answer.status_code, answer.content) == (206, LARGE[5:15])
    assert requests.made == [f"HEAD {key}", f"GET {key}"]
    requests.clear()
    whole = served.client.get(PICTURE)
    assert whole.content == LARGE
    assert requests.made == [f"GET {key}"] * 3
    requests.clear()
    known = {"If-None-Match": whole.headers["etag"]}
    assert served.client.get(PICTURE, headers=known).status_code == 304
    assert requests.made == [f"HEAD {key}"]


def test_a_client_that_takes_nothing_is_cut_off_although_it_sends_bytes(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, answer_part=0.5))
    served.outbox.write("m/p.png", os.urandom(40 * MIB))
    waits = threading.Event()
    at_parts(served.outbox, lambda part: waits.set() if part == 2 else None)
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head("GET", PICTURE))
        assert waits.wait(60)  # the first part does not fit into the buffers of the connection
        end = select.poll()
        end.register(connection, 0)  # reports only that the connection has ended
        for _ in range(600):
            connection.sendall(b"G")
            if end.poll(100):
                return
    pytest.fail("the connection is still open")
