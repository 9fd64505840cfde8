"""`run` where another process publishes, or where one did so on a machine that has died."""

import json
from pathlib import Path

import pytest

from pipeline.engines.fake import FakeEngine
from pipeline.errors import ClaimLostError
from pipeline.events.listener import Event, ManifestLeft, Note, PairDone
from pipeline.events.recording import RecordingListener
from pipeline.outbox.outbox import Outbox
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.mounts import Tables
from pipeline.stores.opening import Stores
from pipeline.timing import Timing
from pipeline.work import watch
from pipeline.work.session import Session
from tests.pipeline.stores.dead import left_by_another_machine

BRIEF = Timing(lease=0.5)


# More than leases that `run` waits for, so that it fails if it waits for one after another.
SHARDS = [("m0", f"{number}-of-5") for number in range(1, 6)]
MANIFESTS = [(f"m{number}", "") for number in range(5)]


@pytest.mark.parametrize(("reserved", "manifests"), [(SHARDS, 1), (MANIFESTS, 5)])
def test_the_results_of_a_machine_that_died_are_taken_over_after_a_lease(
    folder: Path, reserved: list[tuple[str, str]], manifests: int
) -> None:
    paths = [folder / f"m{number}.json" for number in range(manifests)]
    for path in paths:
        path.write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    outbox, table, listener = folder / "out", folder / "mountinfo", RecordingListener()
    outbox.mkdir()
    left_by_another_machine(outbox, *reserved)
    table.write_text(f"40 27 0:40 / {folder.resolve()} rw - nfs4 server:/share rw,local_lock=none\n")
    store = FolderStore(outbox, BRIEF, tables=Tables(Path("/dev/null"), table))
    engine, session = FakeEngine(Stores()), Session(listener, BRIEF)
    assert watch.run(paths, engine, Outbox(store), Stores(), [], session) == 0
    waits = [note.message for note in listener.of(Note) if "another process" in note.message]
    taken = "another process publishes there; waiting for its end"
    assert waits == [f"{store.url}/{path.stem}: {taken}" for path in paths]
    assert all((outbox / path.stem / "content-style.png").is_file() for path in paths)


def test_a_run_whose_folder_was_taken_over_after_its_last_pair_has_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Reservation:
        lost = False

        def confirm(self) -> None:
            if self.lost:
                raise ClaimLostError("m: another process publishes there")

        def close(self) -> None:
            pass

    class Listening(RecordingListener):
        def hear(self, event: Event) -> None:
            super().hear(event)
            if isinstance(event, PairDone):
                reservation.lost = True

    reservation, store, listener = Reservation(), MemoryStore("out"), Listening()
    monkeypatch.setattr(store, "reserve", lambda *_: reservation)
    (folder / "m.json").write_text(json.dumps({"content": "content.png", "style": "style.png"}))
    session = Session(listener, BRIEF)
    code = watch.run([folder / "m.json"], FakeEngine(Stores()), Outbox(store), Stores(), [], session)
    assert [event.reason for event in listener.of(ManifestLeft)] == ["m: another process publishes there"]
    assert store.tag("m/index.html") is None
    assert code == 1
