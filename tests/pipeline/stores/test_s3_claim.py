"""What a claim in a bucket reads and writes, and in which order; what becomes of its history."""

import json
import math
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.errors import ClaimLostError, ConflictError, StoreError, UnavailableError
from pipeline.inbox.inbox import Inbox
from pipeline.stores.aws import connect
from pipeline.stores.base import Claim, History
from pipeline.stores.holding import Holding
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.pipeline.stores.altered import Altered
from tests.pipeline.stores.claiming import again, claimed, taken_over
from tests.pipeline.stores.requests_made import Requests

LIMIT = 1000
LARGE = 9 * 2**20  # bytes; more than a runner reads of an object that it only moves
NOTED = History(crashes=1, pair="p", deaths=2, failed=("q",))
DEAD = Timing(lease=1.0, lease_renewal=math.inf)  # as if its process had died after its last request


def lease(store: S3Store) -> Holding:
    return Holding.from_bytes(store.read("held/a.lease", 10**6))


class Body:
    """A body of an answer that calls `on_read` before it is read."""

    def __init__(self, body: Any, on_read: Callable[[], None]) -> None:
        self._body, self._on_read = body, on_read

    def read(self, *arguments: int) -> Any:
        self._on_read()
        return self._body.read(*arguments)

    def close(self) -> None:
        self._body.close()


def reading(store: S3Store, on_read: Callable[[str], None]) -> Altered:
    """A client that calls `on_read` with the key before a body is read."""

    def get_object(**given: Any) -> Any:
        answer = client.get_object(**given)
        key = given["Key"].removeprefix(store.prefix)
        answer["Body"] = Body(answer["Body"], lambda: on_read(key))
        return answer

    client = store.objects.client
    return Altered(client, get_object=get_object)


def test_a_death_is_counted_before_the_content_is_read(real_store: S3Store) -> None:
    counted = list[tuple[str, int]]()

    def on_read(key: str) -> None:
        if not key.endswith(".lease"):
            counted.append((key, lease(real_store).history.crashes))

    client = reading(real_store, on_read)
    real_store.write("a", b"text")
    claimed(again(real_store, DEAD, client))
    second = taken_over(again(real_store, DEAD, client))
    assert counted == [("a", 0)]
    assert second.read(LIMIT) == b"text"
    assert counted == [("a", 0), ("held/a", 1)]


@pytest.mark.parametrize(
    ("end", "key"),
    [(lambda claim: claim.release(), "a"), (lambda claim: claim.move_to("failed/a"), "failed/a")],
)
def test_a_large_object_is_moved_by_the_server_and_is_not_read(
    real_store: S3Store, end: Callable[[Claim], None], key: str
) -> None:
    read = list[str]()
    data = b"x" * LARGE
    real_store.write("a", data)
    requests = Requests(real_store.objects.client, real_store.bucket)
    store = again(real_store, client=reading(real_store, read.append))
    claim = claimed(store)
    with pytest.raises(StoreError, match=r"held/a: has .* bytes; at most .* are read"):
        claim.read(LIMIT)
    end(claim)
    store.move(key, "moved")
    assert [name for name in read if not name.endswith(".lease")] == []
    assert requests.largest < LIMIT
    assert real_store.read("moved", LARGE) == data
    assert list(real_store.glob("**/*")) == ["moved"]


def test_a_release_after_a_copy_to_the_end_does_not_put_the_object_back(real_store: S3Store) -> None:
    client = real_store.objects.client

    def delete_objects(**given: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="")

    real_store.write("a", b"text")
    claim = claimed(again(real_store, DEAD, Altered(client, delete_objects=delete_objects)))
    with pytest.raises(UnavailableError):
        claim.move_to("done/a")
    claim.release()
    assert real_store.tag("a") is None
    taken_over(real_store).move_to("done/a")
    assert [key for key in real_store.glob("**/*") if not key.endswith(".lease")] == ["done/a"]


def test_a_large_object_does_not_replace_another_one(real_store: S3Store) -> None:
    real_store.write("a", b"x" * LARGE)
    claim = claimed(real_store)
    real_store.write("a", b"newer")
    with pytest.raises(ConflictError):
        real_store.move("held/a", "a")
    claim.release()
    assert real_store.read("a", LIMIT) == b"newer"
    assert real_store.tag("held/a")


def test_a_large_object_whose_move_was_interrupted_is_moved_by_the_next_try(real_store: S3Store) -> None:
    client = real_store.objects.client
    real_store.write("a", b"x" * LARGE)

    def delete_object(**given: Any) -> Any:
        raise EndpointConnectionError(endpoint_url="")

    with pytest.raises(UnavailableError):
        again(real_store, client=Altered(client, delete_object=delete_object)).move("a", "b")
    real_store.move("a", "b")
    assert list(real_store.glob("**/*")) == ["b"]


def test_an_object_that_is_too_large_for_a_copy_is_an_error(client: Any) -> None:
    def get_object(**given: Any) -> Any:
        return client.get_object(**given) | {"ContentLength": 6 * 2**30}

    store = S3Store("s3://bucket", client)
    store.write("a", b"text")
    with pytest.raises(StoreError, match=r"/a: has 6\.0 GiB; at most 5 GiB can be moved; delete it"):
        again(store, client=Altered(client, get_object=get_object)).claim("a", "held/a")
    assert store.read("a", LIMIT) == b"text"


@pytest.mark.parametrize("act", [lambda claim: claim.read(LIMIT), lambda claim: claim.move_to("done/a")])
def test_a_claim_whose_object_was_replaced_does_not_read_the_other_one(
    real_store: S3Store, act: Callable[[Claim], None]
) -> None:
    real_store.write("held/a", b"text")
    claim = claimed(real_store)
    real_store.write("held/a", b"other")
    with pytest.raises(ClaimLostError, match="held/a was moved or deleted"):
        act(claim)
    claim.release()
    assert list(real_store.glob("**/*")) == ["held/a"]


def test_a_history_is_kept_beside_a_released_object_and_free_for_other_runners(real_store: S3Store) -> None:
    real_store.write("a", b"text")
    claim = claimed(real_store)
    claim.note(NOTED)
    claim.release()
    assert lease(real_store).stopped
    second = claimed(again(real_store))
    assert second.history == NOTED
    second.note(History())
    second.release()
    assert real_store.tag("held/a.lease") is None
    third = claimed(again(real_store))
    third.note(NOTED)
    third.move_to("done/a")
    assert real_store.tag("held/a.lease") is None


@pytest.mark.parametrize(("content", "crashes"), [(b"text", 1), (b"other", 0)])
def test_a_death_counts_for_the_same_content_only(real_store: S3Store, content: bytes, crashes: int) -> None:
    real_store.write("a", b"text")
    claimed(again(real_store, DEAD))
    real_store.remove("held/a")
    real_store.write("a", content)
    second = taken_over(again(real_store, DEAD))
    assert second.history.crashes == crashes
    # The lease names this content now, so that the next death is counted as well.
    third = taken_over(again(real_store, DEAD))
    assert third.history.crashes == crashes + 1


def test_a_history_is_kept_if_the_server_can_not_be_reached_during_the_next_claim(
    real_store: S3Store,
) -> None:
    client = real_store.objects.client
    real_store.write("a", b"text")
    claimed(again(real_store, DEAD)).note(NOTED)

    def get_object(**given: Any) -> Any:
        if given["Key"].endswith("/a"):
            raise EndpointConnectionError(endpoint_url="")
        return client.get_object(**given)

    with pytest.raises(UnavailableError):
        taken_over(again(real_store, DEAD, Altered(client, get_object=get_object)))
    assert claimed(again(real_store)).history == NOTED.after_death()


def test_a_history_is_kept_if_the_copy_of_an_object_has_another_tag(real_store: S3Store) -> None:
    client, where = real_store.objects.client, {"Bucket": real_store.bucket, "Key": f"{real_store.prefix}a"}

    def upload_in_parts() -> None:
        upload = where | {"UploadId": client.create_multipart_upload(**where)["UploadId"]}
        part = {"PartNumber": 1, "ETag": client.upload_part(**upload, PartNumber=1, Body=b"text")["ETag"]}
        client.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})

    upload_in_parts()
    tag = real_store.tag("a")
    claim = claimed(real_store)
    assert real_store.tag("held/a") != tag
    claim.note(NOTED)
    claim.release()
    second = claimed(again(real_store, DEAD))
    assert second.history == NOTED
    assert taken_over(again(real_store, DEAD)).history == NOTED.after_death()


def test_a_stopping_process_needs_one_request_and_its_death_is_not_counted(real_store: S3Store) -> None:
    real_store.write("a", b"text")
    requests = Requests(real_store.objects.client, real_store.bucket)
    first = claimed(again(real_store, DEAD))
    first.note(NOTED)
    requests.clear()
    first.stopping()
    assert requests.made == [f"PUT {real_store.prefix}held/a.lease"]
    second = again(real_store, DEAD)
    assert second.claim("a", "held/a") is None
    assert taken_over(second).history == NOTED


def test_a_claim_that_stops_is_released_as_any_other(real_store: S3Store) -> None:
    real_store.write("a", b"text")
    claim = claimed(real_store)
    claim.stopping()
    claim.release()
    assert list(real_store.glob("**/*")) == ["a"]
    claim.stopping()  # the claim has ended before, so that nothing happens
    with pytest.raises(ClaimLostError, match="the claim has ended"):
        claim.note(NOTED)
    assert list(real_store.glob("**/*")) == ["a"]


def test_a_lease_of_a_newer_version_is_respected_and_its_history_is_kept(real_store: S3Store) -> None:
    history = {"crashes": 1, "pair": "p", "deaths": 2, "failed": ["q"], "new": 1}
    fields = {"format": 3, "owner": "x", "history": history, "new": {"more": 1}, "process": "host/1"}
    fields["content"] = real_store.write("held/a", b"text")
    other, began, renewals = again(real_store, Timing(lease=1.0)), time.monotonic(), 0
    while time.monotonic() - began < 2.0:
        renewals += 1
        real_store.write("held/a.lease", json.dumps(fields | {"random": renewals}).encode())
        assert other.claim("a", "held/a") is None
    assert taken_over(other).history == NOTED.after_death()


def test_a_lease_of_version_1_is_respected_and_its_number_counts(real_store: S3Store) -> None:
    real_store.write("held/a", b"text")
    real_store.write("held/a.lease", f"owner {uuid4().hex} 2".encode())
    other = again(real_store, Timing(lease=2.0))
    assert other.claim("a", "held/a") is None
    assert taken_over(other).history == History(crashes=2)


def test_a_manifest_that_nobody_holds_is_claimed_by_five_requests(real_store: S3Store) -> None:
    real_store.write("a.json", b"{}")
    inbox = Inbox(real_store)
    inbox.scan()
    requests = Requests(real_store.objects.client, real_store.bucket)
    manifest = inbox.claim("a")
    assert manifest
    assert [made.replace(real_store.prefix, "") for made in requests.made] == [
        "PUT processing/a.json.lease",
        "GET a.json",
        "PUT processing/a.json",
        "HEAD a.json",
        "DELETE a.json",
    ]
    requests.clear()
    assert manifest.read() == b"{}"
    assert requests.made == []


def test_a_manifest_that_another_runner_holds_costs_no_request(real_store: S3Store) -> None:
    real_store.write("a.json", b"{}")
    holder = Inbox(again(real_store, Timing(lease=60.0, lease_renewal=0.1)))
    client = connect("s3", real_store.objects.client.meta.endpoint_url)
    requests = Requests(client, real_store.bucket)
    other = Inbox(again(real_store, client=client))
    manifest, tags = holder.claim("a"), set[str | None]()
    assert manifest
    while len(tags) < 3:  # two renewals
        other.scan()
        requests.clear()
        assert other.claim("a") is None
        assert requests.made == []
        tags.add(real_store.tag("processing/a.json.lease"))
    manifest.note(NOTED)
    manifest.release()
    other.scan()
    second = other.claim("a")
    assert second
    assert second.history == NOTED


def test_a_manifest_of_a_dead_runner_is_found_by_scans(real_store: S3Store) -> None:
    real_store.write("a.json", b"{}")
    assert Inbox(again(real_store, DEAD)).claim("a")
    other, until = Inbox(again(real_store, DEAD)), time.monotonic() + 60
    manifest = None
    while manifest is None:
        assert time.monotonic() < until
        assert [ready.name for ready in other.scan()] == ["a"]
        manifest = other.claim("a")
    assert manifest.history.crashes == 1
