"""Writes and deletes that name what they replace, while answers of a real server are lost."""

from collections.abc import Iterator
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET
from pipeline.errors import ConflictError
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.faulty import Faulty, proxy, retries_at_once

LIMIT = 1000

Late = tuple[S3Store, Faulty]


@pytest.fixture
def late(seaweed: str) -> Iterator[Late]:
    """A store behind a proxy, which can lose an answer. The client retries without a pause."""
    with retries_at_once(), proxy(seaweed) as (endpoint_url, network):
        yield S3Store(f"s3://{BUCKET}/{uuid4().hex}", connect("s3", endpoint_url)), network


def test_a_write_whose_answer_was_lost_recognises_its_first_try(late: Late) -> None:
    store, network = late
    network.fail_next("late")
    first = store.replace("a", b"one", seen=None)
    assert first == store.tag("a")
    network.fail_next("late")
    second = store.replace("a", b"two", seen=first)
    assert second == store.tag("a") != first
    assert store.read("a", LIMIT) == b"two"
    assert network.done["late"] == 2


def test_a_write_that_names_another_object_replaces_nothing(late: Late) -> None:
    store, network = late
    first = store.write("a", b"one")
    store.write("a", b"theirs")
    for seen in (None, first):
        network.fail_next("late")
        with pytest.raises(ConflictError):
            store.replace("a", b"ours", seen)
    store.remove("a")
    network.fail_next("late")
    with pytest.raises(ConflictError):
        store.replace("a", b"ours", first)
    assert store.tag("a") is None


def test_a_delete_whose_answer_was_lost_succeeds_and_names_its_object(late: Late) -> None:
    store, network = late
    first = store.write("a", b"one")
    second = store.write("a", b"two")
    store.remove("a", first)
    assert store.tag("a") == second

    def lose_answer(**_: object) -> None:
        if not network.done["late"]:
            network.fail_next("late")

    store.objects.client.meta.events.register("before-send.s3.DeleteObject", lose_answer)
    store.remove("a", second)
    assert store.tag("a") is None
    assert network.done["late"] == 1
