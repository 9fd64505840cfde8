"""Two processes do not work on one shard at the same time, nor on a shard and on the whole manifest."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.engines.fake import FakeEngine
from pipeline.environment import Environment
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.s3 import S3Store
from pipeline.timing import Timing
from tests.pipeline.calling import Call, caller
from tests.pipeline.shards.sharded import computed, events

BRIEF = Timing(lease=1.0, lease_renewal=0.05)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls the program with leases that lapse soon."""
    environment = Environment(BRIEF, lambda settings, stores, timing: FakeEngine(stores))
    return caller(monkeypatch, capsys, environment)


def brisk(store: Any) -> Store:
    """The same store, which renews its leases often."""
    return S3Store(store.url, store.objects.client, BRIEF) if isinstance(store, S3Store) else store


def test_two_processes_do_not_work_on_one_shard_and_others_may_work_on_other_ones(
    impatient: Call, manifest: Path, results: Any, out: str, endpoint: tuple[str, ...]
) -> None:
    command = ("run", manifest, "--outbox", out, *endpoint, "--shard")
    results.make()
    held = brisk(results).reserve("m", "1-of-2")
    assert held
    assert impatient(*command, "2/2")[0] == 0
    code, text = impatient(*command, "1/2")
    assert code == 1
    waiting, failed = events(text)[:2]
    taken = "another process works on shard 1/2, or on the whole manifest"
    assert f"{taken}; waiting for its end" in waiting["event"]
    assert f"{taken}; start this one when that has ended" in failed["message"]
    held.close()
    assert impatient(*command, "1/2")[0] == 0


def test_the_shard_of_a_process_that_died_is_taken_over(
    impatient: Call, manifest: Path, results: Any, out: str, endpoint: tuple[str, ...]
) -> None:
    command = ("run", manifest, "--outbox", out, *endpoint, "--shard")
    if not out.startswith("s3://"):
        pytest.skip("a lock of a folder ends with its process; the chaos of shards kills processes")
    assert results.reserve("m", "1-of-2")  # nobody renews it
    code, text = impatient(*command, "1/2")
    assert (code, len(computed(text))) == (0, 4)


def test_a_run_of_the_whole_manifest_and_a_shard_exclude_each_other_in_a_folder(
    impatient: Call, manifest: Path, tmp_path: Path
) -> None:
    store, command = FolderStore(tmp_path / "out"), ("run", manifest, "--outbox", tmp_path / "out")
    store.make()
    for part, arguments in (("1-of-2", ()), ("", ("--shard", "1/2"))):
        held = store.reserve("m", part)
        assert held
        code, text = impatient(*command, *arguments)
        assert code == 1
        assert "another process" in text
        held.close()
    assert impatient(*command)[0] == 0
