"""A manifest that is put back into the inbox while a runner refuses it again."""

import time
from uuid import uuid4

import pytest

from manifests.demo_s3 import BUCKET
from pipeline.errors import Problem
from pipeline.inbox.inbox import Inbox
from pipeline.stores.aws import connect
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store


class RunnerBeside(MemoryStore):
    """A runner refuses `a.json` again as soon as it waits."""

    def move(self, source: str, target: str) -> None:
        super().move(source, target)
        if target == "a.json":
            claimed = Inbox(self).claim("a")
            assert claimed
            claimed.fail([Problem("", "refused again")])


def test_retry_leaves_what_a_runner_writes_at_the_same_time() -> None:
    store = RunnerBeside("beside")
    store.write("failed/a.json", b"{}")
    store.write("failed/a.error.json", b'{"errors": [{"place": "", "message": "refused"}]}')
    Inbox(store).retry("a")
    assert Inbox(store).status().failed == {"a": "refused again"}


def test_retry_in_a_bucket_deletes_only_the_object_that_it_has_moved(
    seaweed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = S3Store(f"s3://{BUCKET}/{uuid4().hex}", connect("s3", seaweed))
    store.write("failed/a.json", b"{}")
    delete = store.objects.delete

    def late(key: str, **conditions: object) -> None:
        """The last step of the move, after a runner has refused the manifest again."""
        time.sleep(1.1)  # the dates of objects are whole seconds
        claimed = Inbox(S3Store(store.url, store.objects.client)).claim("a")
        assert claimed
        claimed.fail([Problem("", "refused again")])
        delete(key, **conditions)  # type: ignore[arg-type]

    monkeypatch.setattr(store.objects, "delete", late)
    Inbox(store).retry("a")
    assert Inbox(store).status().failed == {"a": "refused again"}
