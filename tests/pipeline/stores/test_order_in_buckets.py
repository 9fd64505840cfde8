"""In a bucket, moving an object is a copy and a delete: a death between them must leave the object."""

from collections.abc import Callable
from typing import Any

import pytest

from pipeline.stores.base import Claim
from pipeline.stores.s3 import S3Store
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
