"""What happens to leases and claims when runners, requests and clocks are late."""

import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from pipeline.errors import ClaimLostError, UnavailableError
from pipeline.stores.aws import connect
from pipeline.stores.lease import Lease, Leases
from pipeline.stores.s3 import S3Store
from pipeline.stores.s3_claim import S3Claim
from pipeline.timing import Timing
from tests.pipeline.stores.altered import Altered
from tests.pipeline.stores.claiming import again, claimed, taken_over

LIMIT = 1000
SHORT = Timing(lease=2.0, lease_renewal=0.5)
SUSPENDED = Timing(lease=2.0, lease_renewal=math.inf)  # renews nothing, as a process that is suspended


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


class Ahead:
    """Changes the dates of all answers that a client gets, as a proxy with a wrong clock does."""

    def __init__(self, endpoint_url: str, seconds: float) -> None:
        self.client, self._by = connect("s3", endpoint_url), timedelta(seconds=seconds)
        self.probes = 0  # objects that the client has written to measure the time of the server
        self.client.meta.events.register("after-call.s3", self._on_answer)
        self.client.meta.events.register("before-send.s3.PutObject", self._on_put)

    def _on_answer(self, parsed: Any, **_: object) -> None:
        headers = parsed["ResponseMetadata"]["HTTPHeaders"]
        headers["date"] = format_datetime(parsedate_to_datetime(headers["date"]) + self._by, usegmt=True)

    def _on_put(self, request: Any, **_: object) -> None:
        self.probes += "/.probe-" in request.url


@pytest.mark.parametrize("listing", [True, False])
def test_a_lease_that_is_renewed_is_kept_although_the_dates_of_answers_are_ahead(
    real_store: S3Store, listing: bool
) -> None:
    real_store.write("a", b"text")
    claim = claimed(again(real_store, Timing(lease=5.0, lease_renewal=0.2)))
    ahead = Ahead(real_store.objects.client.meta.endpoint_url, seconds=90)
    other, tags = again(real_store, Timing(lease=5.0), ahead.client), set[str | None]()
    while len(tags) < 5:
        if listing:
            other.entries("held")
        assert other.claim("a", "held/a") is None
        assert again(real_store, Timing(lease=5.0), ahead.client).claim("a", "held/a") is None
        tags.add(real_store.tag("held/a.lease"))
        probes = ahead.probes
        assert other.claim("a", "held/a") is None
        assert ahead.probes == probes  # at most one for each lease
    claim.release()
    assert real_store.glob("**/.*") == []


def test_a_lease_that_lapsed_is_taken_over_at_first_sight_by_the_clock_of_the_storage(
    real_store: S3Store,
) -> None:
    real_store.write("a", b"text")
    first = claimed(again(real_store, SUSPENDED))
    ahead = Ahead(real_store.objects.client.meta.endpoint_url, seconds=90)
    second, until = None, time.monotonic() + 60
    while second is None:
        assert time.monotonic() < until
        # Each time by a process that has just begun.
        second = again(real_store, SUSPENDED, ahead.client).claim("a", "held/a")
    with pytest.raises(ClaimLostError):
        first.move_to("done/a")
    assert second.history.crashes == 1
    assert real_store.glob("**/.*") == []


def test_a_lease_that_was_seen_renewed_ends_by_the_clock_of_this_machine_only(real_store: S3Store) -> None:
    store = again(real_store, Timing(lease=1.0))
    store.write("held/a", b"text")
    ahead = Ahead(real_store.objects.client.meta.endpoint_url, seconds=90)
    other = again(real_store, Timing(lease=1.0), ahead.client)
    for renewal in range(2):
        store.write("held/a.lease", b"owner random %d" % renewal)
        assert other.claim("a", "held/a") is None
    probes = ahead.probes
    taken_over(other)
    assert ahead.probes == probes


@pytest.mark.parametrize("act", [lambda lease: lease.confirm(), lambda lease: lease.change(stopped=True)])
@pytest.mark.parametrize("end", [lambda lease: lease.end(), lambda lease: lease.delete()])
def test_a_lease_that_has_ended_is_neither_confirmed_nor_changed(
    real_store: S3Store, act: Callable[[Lease], None], end: Callable[[Lease], None]
) -> None:
    lease = Leases(real_store.objects, Timing()).take("held/a", "content")
    assert lease
    lease.confirm()
    end(lease)
    with pytest.raises(ClaimLostError, match="the lease has ended"):
        act(lease)
    assert real_store.tag("held/a.lease") is None


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
