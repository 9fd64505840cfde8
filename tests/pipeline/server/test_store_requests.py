"""How many requests a door makes to a bucket."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.pipeline.server.conftest import Served
from tests.pipeline.stores.requests_made import Requests


@pytest.fixture
def in_bucket(seaweed: str) -> Callable[..., tuple[Served, Requests]]:
    """A function that opens a door at a bucket, and counts its requests apart from those of the runner."""

    def make(timing: Timing = Timing(), **options: Any) -> tuple[Served, Requests]:
        client = connect("s3", seaweed)
        run = uuid4().hex
        inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{end}", client, timing) for end in ("in", "out"))
        served = Served(places=(inbox, outbox), endpoint_url=seaweed, timing=timing, **options)
        return served, Requests(client, BUCKET)

    return make


def test_a_request_for_one_picture_takes_fewer_than_six_requests(
    in_bucket: Callable[..., tuple[Served, Requests]],
) -> None:
    served, requests = in_bucket()
    try:
        assert served.stylize().status_code == 200
        assert len(requests.made) < 6, requests.made
        requests.clear()
        assert served.stylize(headers={"Idempotency-Key": "k"}).status_code == 200
        assert len(requests.made) < 6, requests.made
    finally:
        served.close()
