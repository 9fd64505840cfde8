import select
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest

from pipeline.errors import UnavailableError
from pipeline.events.listener import Note, WatchBegan
from pipeline.settings import Settings
from tests.pipeline.server.conftest import CONTENT, FORM, QUICK, Serve, Served
from tests.pipeline.server.raw import BOUNDARY, form, head, posted, send

MIB = 2**20


@pytest.fixture
def small(serve: Serve) -> Served:
    """A door that takes at most 1 MiB."""
    return serve(works=False, settings=Settings(port=0, max_upload=1))


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/images/a.png"), ("PUT", "/manifests/m"), ("POST", "/stylize")]
)
def test_a_full_disk_of_temporary_files_is_said_and_may_be_over_soon(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, method: str, path: str
) -> None:
    served = serve(works=False)
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    content = form(('name="content_image"; filename="a"', bytes(2 * MIB)))
    kinds = {"/manifests/m": "application/json", "/stylize": f"multipart/form-data; boundary={BOUNDARY}"}
    headers = {"Content-Type": kinds.get(path, "image/png")}
    answer = served.client.request(method, path, content=content, headers=headers)
    assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
    assert "can't be kept in the folder /nowhere: No such file or directory" in answer.json()["detail"]


def test_a_body_that_says_that_it_is_too_large_is_not_read(small: Served) -> None:
    answer = send(small.port, head("PUT", "/images/a.png", f"Content-Length: {2 * MIB}"))
    assert answer is not None
    assert answer.status == 413
    assert answer.headers["connection"] == "close"
    assert "--max-upload" in answer.problem["detail"]


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/images/a.png"), ("POST", "/manifests"), ("POST", "/stylize")]
)
def test_a_body_of_unknown_length_is_counted_while_it_comes(small: Served, method: str, path: str) -> None:
    kinds = {"/manifests": "application/json", "/stylize": f"multipart/form-data; boundary={BOUNDARY}"}
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield form(('name="content_image"; filename="a"', b""))[: -len(BOUNDARY) - 8]
        while True:
            sent += MIB // 4
            yield bytes(MIB // 4)

    headers = {"Content-Type": kinds.get(path, "image/png")}
    answer = small.client.request(method, path, content=endless(), headers=headers)
    assert answer.status_code == 413
    assert small.files() == []


def test_a_body_of_just_the_largest_size_is_taken(small: Served) -> None:
    assert small.client.put("/images/a.png", content=CONTENT.ljust(MIB, b"\0")).status_code == 201
    assert small.client.put("/images/a.png", content=CONTENT.ljust(MIB + 1, b"\0")).status_code == 413


def test_uploads_together_are_limited_until_they_are_taken_in(small: Served) -> None:
    begun = head("PUT", "/images/a.png", f"Content-Length: {MIB}") + bytes(MIB - 1)
    with ExitStack() as stack:
        connections = []
        for _ in range(17):
            address = ("127.0.0.1", small.port)
            connections.append(stack.enter_context(socket.create_connection(address, timeout=60)))
            connections[-1].sendall(begun)
        [refused], _, _ = select.select(connections, [], [], 60)
        answer = refused.recv(2**16)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: " in answer.lower()
        for connection in connections:
            if connection is not refused:
                connection.sendall(b"0")
                assert connection.recv(2**16).startswith(b"HTTP/1.1 422 ")  # it is no image
    for _ in range(17):
        assert small.client.put("/images/a.png", content=CONTENT.ljust(MIB, b"\0")).status_code == 201


def test_a_client_that_stops_sending_is_cut_off(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, body_part=0.05))
    answer = send(served.port, head("PUT", "/images/a.png", "Content-Length: 1000"), b"part")
    assert answer is not None
    assert (answer.status, answer.headers["connection"]) == (408, "close")
    assert served.files() == []


def test_a_client_that_sends_no_request_is_cut_off(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, headers=0.05))
    assert send(served.port) is None
    assert send(served.port, b"GET /healthz HTTP/1.1\r\nHost: loc") is None
    answered = send(served.port, head("GET", "/healthz"), b"GET /")
    assert answered is not None
    assert answered.status == 200


def test_a_client_that_leaves_in_the_middle_of_an_upload_leaves_nothing(serve: Serve) -> None:
    served = serve(works=False)
    whole = posted(form(*((f'name="{name}"; filename="a.png"', image) for name, (_, image) in FORM.items())))
    for cut in (len(whole) - 1, len(whole) // 2):
        assert send(served.port, whole[:cut], end=True) is None
    assert served.client.get("/healthz").status_code == 200
    assert served.files() == []


def test_headers_that_are_too_long_are_refused(serve: Serve) -> None:
    served = serve(works=False)
    answer = send(served.port, head("GET", "/manifests", f"X-Long: {'x' * 200_000}"))
    assert answer is not None
    assert answer.status == 400


def test_a_client_with_too_many_requests_has_to_wait_and_probes_are_answered(serve: Serve) -> None:
    served = serve(works=False)
    many = httpx.Limits(max_connections=None)
    with (
        ExitStack() as stack,
        httpx.Client(base_url=served.client.base_url, limits=many, timeout=60) as client,
    ):
        opened = [stack.enter_context(client.stream("GET", "/events")) for _ in range(257)]
        assert [answer.status_code for answer in opened] == [200] * 256 + [429]
        assert int(opened[-1].headers["retry-after"]) > 0
        refused = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
        refused.sendall(head("POST", "/stylize", "Content-Length: 1000"))
        assert b" 429 " in refused.recv(1000)  # its place is taken until its body has come
        assert served.client.get("/healthz").status_code == 200


def test_no_more_is_taken_in_while_too_many_manifests_wait(serve: Serve) -> None:
    served = serve(works=False, settings=Settings(port=0, most_waiting=2))
    headers = {"Prefer": "respond-async"}
    assert [served.stylize(headers).status_code for _ in range(3)] == [202, 202, 429]
    refused = served.client.post("/manifests", json={"content": "a.png", "style": "b.png"})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    for key in [key for key in served.files() if key.endswith(".json")]:
        served.inbox.remove(key)
    assert served.stylize(headers).status_code == 202


def test_a_refused_request_does_not_count_as_a_manifest_that_waits(serve: Serve) -> None:
    served = serve(
        works=False, settings=Settings(port=0, most_waiting=2), timing=replace(QUICK, scan_bucket=3600)
    )
    taken = {"content": "a.png", "style": "b.png"}
    assert served.client.put("/manifests/m", json=taken).status_code == 201
    assert served.stylize(epochs=0).status_code == 422
    assert served.client.post("/manifests", json={"content": "a.png"}).status_code == 422
    assert served.client.put("/manifests/m", json=taken).status_code == 409
    assert served.client.put("/manifests/n", json=taken).status_code == 201
    assert served.client.put("/manifests/o", json=taken).status_code == 429


def test_a_request_that_is_sent_again_is_answered_while_too_many_manifests_wait(serve: Serve) -> None:
    served = serve(
        works=False, settings=Settings(port=0, most_waiting=1), timing=replace(QUICK, scan_bucket=3600)
    )
    headers = {"Idempotency-Key": "k", "Prefer": "respond-async"}
    assert [served.stylize(headers).status_code for _ in range(3)] == [202, 202, 202]
    assert served.stylize({**headers, "Idempotency-Key": "other"}).status_code == 429


def test_bulk_work_does_not_keep_requests_for_one_picture_out(serve: Serve) -> None:
    served = serve(works=False, settings=Settings(port=0, most_waiting=2))
    for name in ("a", "b", "c"):
        served.inbox.write(f"{name}.json", b"{}")
    assert served.stylize({"Prefer": "respond-async"}).status_code == 202


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/manifests"),
        ("GET", "/manifests/m"),
        ("DELETE", "/manifests/m"),
        ("POST", "/manifests/m/retry"),
        ("GET", "/jobs/request-00000000000000000000000000000000"),
        ("GET", "/results/m/p.png"),
        ("GET", "/readyz"),
        ("PUT", "/images/a.png"),
        ("POST", "/stylize"),
        ("PUT", "/manifests/m"),
    ],
)
def test_requests_are_answered_with_503_while_a_store_is_away(serve: Serve, method: str, path: str) -> None:
    served = serve(works=False)

    def away(verb: str, key: str) -> None:
        raise UnavailableError("the bucket can't be reached")

    served.inbox.before = served.outbox.before = away
    if path == "/stylize":
        answer = served.stylize()
    elif method == "PUT" and "manifests" in path:
        answer = served.client.put(path, json={"content": "a.png", "style": "b.png"})
    else:
        answer = served.client.request(method, path, content=CONTENT if method == "PUT" else None)
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert int(answer.headers["retry-after"]) > 0
    assert served.client.get("/healthz").status_code == 200


def test_probes_share_what_the_stores_have_answered_for_some_seconds(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, listed_bucket=3600.0))
    served.inbox.calls.clear()
    assert [served.client.get("/readyz").status_code for _ in range(3)] == [200] * 3
    assert served.inbox.calls == [("entries", "processing")]


def test_what_was_written_of_a_request_is_removed_if_the_store_goes_away(serve: Serve) -> None:
    served = serve(works=False)

    def full(verb: str, key: str) -> None:
        if verb == "replace":
            raise UnavailableError("the disk is full")

    served.inbox.before = full
    assert served.stylize().status_code == 503
    assert served.files() == []


def test_a_key_whose_request_was_not_written_whole_is_free_again(serve: Serve) -> None:
    served = serve(works=False)
    headers = {"Idempotency-Key": "k", "Prefer": "respond-async"}

    def full(verb: str, key: str) -> None:
        if verb == "write":
            raise UnavailableError("the disk is full")

    served.inbox.before = full
    assert served.stylize(headers).status_code == 503
    assert served.files() == []
    served.inbox.before = lambda verb, key: None
    assert served.stylize(headers, epochs=3).status_code == 202


def test_a_request_waits_for_its_picture_while_the_outbox_is_away(serve: Serve) -> None:
    served = serve(timing=replace(QUICK, retry_first=0.01, retry_last=0.01))
    left = [1, 2, 3]

    def away(verb: str, key: str) -> None:
        if verb == "replace" and left:
            left.pop()
            raise UnavailableError("the volume is not mounted")

    served.outbox.before = away
    assert served.stylize().status_code == 200


def test_a_line_of_the_log_does_not_make_a_server_ready(serve: Serve) -> None:
    served = serve(works=False)
    served.door.works = True  # its runner has not started its engine
    served.hub.hear(Note("watching"))
    assert served.client.get("/readyz").status_code == 503
    served.hub.hear(WatchBegan("inbox", "outbox"))
    assert served.client.get("/readyz").status_code == 200
