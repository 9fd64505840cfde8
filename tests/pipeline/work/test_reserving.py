"""`run` where another process publishes, or where one did so on a machine that has died."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.engines.fake import FakeEngine
from pipeline.events.listener import Note
from pipeline.events.recording import RecordingListener
from pipeline.outbox.outbox import Outbox
from pipeline.stores.folder import FolderStore
from pipeline.stores.holding import Holding
from pipeline.stores.mounts import Tables
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work import watch
from pipeline.work.session import Session

BRIEF = Timing(lease=0.5)


def left_by_another_machine(outbox: Path, parts: Sequence[str]) -> None:
    """Reservations of the folder `m`, or of parts of it, whose processes have died on another machine."""
    store = FolderStore(outbox)
    reservations = [store.reserve("m", part) for part in parts]
    texts = {lock: Holding.from_bytes(lock.read_bytes()) for lock in outbox.rglob(".lock-*")}
    for reservation in reservations:
        assert reservation
        reservation.close()
    for lock, text in texts.items():
        lock.write_bytes(text.model_copy(update={"machine": "another"}).to_bytes())


# With more shards than leases that `run` waits for, so that it fails if it waits for one after another.
@pytest.mark.parametrize("parts", [[""], [f"{number}-of-5" for number in range(1, 6)]])
def test_the_results_of_a_machine_that_died_are_taken_over_after_a_lease(
    folder: Path, parts: list[str]
) -> None:
    (folder / "m.json").write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    outbox, table, listener = folder / "out", folder / "mountinfo", RecordingListener()
    outbox.mkdir()
    left_by_another_machine(outbox, parts)
    table.write_text(f"40 27 0:40 / {folder.resolve()} rw - nfs4 server:/share rw,local_lock=none\n")
    store = FolderStore(outbox, BRIEF, tables=Tables(Path("/dev/null"), table))
    engine, session = FakeEngine(Stores()), Session(listener, BRIEF)
    assert watch.run([folder / "m.json"], engine, Outbox(store), Stores(), [], session) == 0
    taken = f"{store.url}/m: another process publishes there; waiting for its end"
    assert [note.message for note in listener.of(Note) if "another process" in note.message] == [taken]
    assert (outbox / "m" / "content-style.png").is_file()
