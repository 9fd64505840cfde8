"""The order of the requests of a claim in a bucket, and what becomes of a claim that was taken over."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from pipeline.errors import ClaimLostError
from pipeline.stores.base import Claim
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.pipeline.stores.altered import Altered


def nothing(claim: Claim) -> None:
    pass


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(nothing, id="a claim"),
        pytest.param(lambda claim: claim.move_to("done/a"), id="an end"),
        pytest.param(lambda claim: claim.release(), id="a hand-back"),
    ],
)
def test_an_object_is_copied_before_it_is_deleted(client: Any, end: Callable[[Claim], None]) -> None:
    keys, counts = {"a", "held/a", "done/a"}, list[int]()

    def counted(request: Callable[..., Any]) -> Callable[..., Any]:
        def call(**given: Any) -> Any:
            answer = request(**given)
            counts.append(sum(store.tag(key) is not None for key in keys))
            return answer

        return call

    store = S3Store("s3://bucket", client)
    store.write("a", b"text")
    names = ("put_object", "delete_object", "delete_objects")
    altered = Altered(client, **{name: counted(getattr(client, name)) for name in names})
    claim = S3Store("s3://bucket", altered).claim("a", "held/a")
    assert claim
    end(claim)
    claim.drop()
    assert set(counts) == {1, 2}


def test_a_claim_that_was_taken_over_is_lost_and_counts_as_a_death(client: Any) -> None:
    at_once = Timing(lease=0.0, lease_renewal=math.inf)  # a lease lapses at once and is always renewed
    stores = [S3Store("s3://bucket", client, at_once) for _ in range(2)]
    stores[0].write("a", b"text")
    first, second = (store.claim("a", "held/a") for store in stores)
    assert first and second
    assert second.history.crashes == 1
    with pytest.raises(ClaimLostError, match="another runner has taken over"):
        first.confirm()
    second.confirm()
