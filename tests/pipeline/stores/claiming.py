"""Claims on "a" in a bucket, and other processes that have the same bucket."""

import time
from typing import Any

from pipeline.stores.s3 import S3Store
from pipeline.stores.s3_claim import S3Claim
from pipeline.timing import Timing


def again(store: S3Store, timing: Timing = Timing(), client: Any = None) -> S3Store:
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
        time.sleep(0.05)  # so that the server has time for others
        claim = store.claim("a", "held/a")
    return claim
