"""What happens to leases and claims when runners, requests and clocks are late."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.errors import ClaimLostError, UnavailableError
from pipeline.stores.s3 import S3Store
from pipeline.stores.s3_claim import S3Claim
from pipeline.timing import Timing
from tests.pipeline.stores.altered import Altered

LIMIT = 1000
SHORT = Timing(lease=2.0, lease_renewal=0.5)
SUSPENDED = Timing(lease=2.0, lease_renewal=math.inf)  # renews nothing, as a process that is suspended


def again(store: S3Store, timing: Timing, client: Any = None) -> S3Store:
    """The same store, as another process opens it."""
    return S3Store(store.url, client or store.objects.client, timing)


def claimed(store: S3Store) -> S3Claim:
    """The claim on "a"."""
    claim = store.claim("a", "held/a")
    assert claim
    return claim


def taken_over(store: S3Store) -> S3Claim:
    """The claim on "a", as soon as the lease of its holder has lapsed."""
    claim, until = None, time.monotonic() + 60
    while claim is None:
        assert time.monotonic() < until
        claim = store.claim("a", "held/a")
    return claim


def test_a_lease_that_lapsed_is_taken_over_and_the_first_holder_notices(real_store: S3Store) -> None:
    real_store.write("a", b"text")
    first = claimed(again(real_store, SUSPENDED))
    second = taken_over(again(real_store, SHORT))
    assert second.read(LIMIT) == b"text"
    assert second.history.crashes == 1
    with pytest.raises(ClaimLostError, match="another runner has taken over"):
        first.confirm()
    with pytest.raises(ClaimLostError):
        first.move_to("failed/a")
    first.release()
    second.confirm()
    second.move_to("done/a")
    assert real_store.read("done/a", LIMIT) == b"text"
    assert real_store.tag("failed/a") is None


def test_a_lease_lasts_its_full_duration_although_the_server_counts_whole_seconds(
    real_store: S3Store,
) -> None:
    store = again(real_store, Timing(lease=1.0, lease_renewal=math.inf))
    store.write("a", b"text")
    began = time.monotonic()
    claimed(store)
    taken_over(again(store, Timing(lease=1.0)))
    assert time.monotonic() - began > 1.0


def test_without_a_date_of_the_server_a_lease_lapses_that_was_unchanged_for_its_duration(client: Any) -> None:
    store = S3Store("s3://bucket", client, Timing(lease=1.0, lease_renewal=math.inf))
    store.write("a", b"text")
    assert "date" not in client.head_object(Bucket="bucket", Key="a")["ResponseMetadata"]["HTTPHeaders"]
    claimed(store)
    began = time.monotonic()
    second = taken_over(store)
    assert time.monotonic() - began > 1.0
    second.move_to("done/a")
    assert store.read("done/a", LIMIT) == b"text"


def test_a_lease_that_is_renewed_is_kept(real_store: S3Store) -> None:
    store = again(real_store, Timing(lease=2.0, lease_renewal=0.5))
    store.write("a", b"text")
    claim = claimed(store)
    tags = {store.tag("held/a.lease")}
    while len(tags) < 6:  # four of these renewals take as long as a lease lasts
        tags.add(store.tag("held/a.lease"))
        assert store.claim("a", "held/a") is None
    claim.release()


def test_a_newer_manifest_is_not_deleted_where_deletes_ignore_conditions(client: Any) -> None:
    def put_object(**given: Any) -> Any:
        answer = client.put_object(**given)
        if given["Key"] == "held/a":
            client.put_object(Bucket="bucket", Key="a", Body=b"new")
        return answer

    def delete_object(**given: Any) -> Any:
        given.pop("IfMatch", None)
        return client.delete_object(**given)

    altered = Altered(client, put_object=put_object, delete_object=delete_object)
    store = S3Store("s3://bucket", altered)
    client.put_object(Bucket="bucket", Key="a", Body=b"old")
    claim = claimed(store)
    assert claim.read(LIMIT) == b"old"
    assert store.read("a", LIMIT) == b"new"
    claim.move_to("done/a")
    assert store.read("a", LIMIT) == b"new"


@pytest.mark.parametrize(
    ("end", "slow", "key"),
    [
        (lambda claim: claim.move_to("done/a"), "put_object", "done/a"),
        (lambda claim: claim.move_to("done/a"), "delete_objects", None),
        (lambda claim: claim.release(), "put_object", "a"),
    ],
)
def test_a_delayed_request_deletes_nothing_of_the_next_holder(
    real_store: S3Store, end: Callable[[S3Claim], None], slow: str, key: str | None
) -> None:
    client, other = real_store.objects.client, again(real_store, SHORT)
    request, kept = getattr(client, slow), list[object]()

    def hang(**given: Any) -> Any:
        if key is None or given["Key"] == real_store.prefix + key:
            altered.operations.clear()
            taken_over(other).move_to("done/a")
            real_store.write("a", b"new")
            kept.append(claimed(other))
        return request(**given)

    altered = Altered(client)
    real_store.write("a", b"old")
    first = claimed(again(real_store, SUSPENDED, altered))
    altered.operations[slow] = hang
    with suppress(ClaimLostError):
        end(first)
    assert kept
    assert real_store.read("held/a", LIMIT) == b"new"
    assert real_store.tag("held/a.lease")


def test_a_renewal_whose_answer_was_lost_leaves_no_lease_behind(real_store: S3Store) -> None:
    client = real_store.objects.client
    altered = Altered(client)

    def put_object(**given: Any) -> Any:
        client.put_object(**given)
        raise EndpointConnectionError(endpoint_url="")

    real_store.write("a", b"text")
    claim = claimed(again(real_store, Timing(lease=0.0, lease_renewal=math.inf), altered))
    altered.operations["put_object"] = put_object
    with pytest.raises(UnavailableError):
        claim.confirm()
    altered.operations.clear()
    claim.move_to("done/a")
    assert list(real_store.entries("held")) == []


def test_a_move_whose_answer_was_lost_is_done_when_it_is_tried_again(real_store: S3Store) -> None:
    client = real_store.objects.client
    altered = Altered(client)

    def delete_objects(**given: Any) -> Any:
        altered.operations.clear()
        client.delete_objects(**given)
        raise EndpointConnectionError(endpoint_url="")

    real_store.write("a", b"text")
    claim = claimed(again(real_store, Timing(), altered))
    altered.operations["delete_objects"] = delete_objects
    with pytest.raises(UnavailableError):
        claim.move_to("done/a")
    assert real_store.tag("held/a") is None
    claim.move_to("done/a")
    assert real_store.read("done/a", LIMIT) == b"text"
    assert list(real_store.entries("held")) == []
