from pathlib import Path

import pytest

from nst import Parameters
from pipeline.errors import ClaimLostError
from pipeline.outbox.outbox import DeliveredLosses, Outbox, Record, RecordedImage, WeightFile
from pipeline.stores.folder import FolderStore


def make_record(digest: str = "d1", picture: str = "p.png") -> Record:
    return Record(
        id="p",
        input_digest=digest,
        picture=picture,
        content=RecordedImage(reference="c.png", sha256="0", thumbnail="thumbs/0.jpg"),
        styles=[RecordedImage(reference="s.png", sha256="1", thumbnail="thumbs/1.jpg")],
        parameters=Parameters(),
        width=4,
        height=3,
        losses=DeliveredLosses(content=1, style=2, tv=3, total=4),
        evaluations=20,
        seconds=1.5,
        device="cpu",
        dtype="float32",
        weights=WeightFile(source="embedded", sha256="2"),
        versions={"torch": "2"},
        finished="2026-01-01T00:00:00+00:00",
        curve=[(1, 5.0), (20, 4.0)],
    )


class RecordingFolder(FolderStore):
    """A folder that records every write and every removal."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lines: list[str] = []

    def write(self, key: str, data: bytes) -> str:
        self.lines.append(f"write {key}")
        return super().write(key, data)

    def remove(self, key: str, seen: str | None = None) -> None:
        self.lines.append(f"remove {key}")
        super().remove(key, seen)


@pytest.fixture
def store(tmp_path: Path) -> RecordingFolder:
    return RecordingFolder(tmp_path)


def current(outbox: Outbox, digest: str) -> Record | None:
    record = outbox.record("m", "p")
    return record if record and outbox.is_whole("m", record) and record.input_digest == digest else None


def test_the_loss_log_is_written_first_and_the_record_last(store: RecordingFolder) -> None:
    Outbox(store).put_result("m", make_record(), b"picture", b"log")
    assert store.lines == ["write m/p.loss.jsonl", "write m/p.png", "write m/p.json"]


def test_the_old_record_is_removed_before_the_new_picture_is_written(store: RecordingFolder) -> None:
    outbox = Outbox(store)
    outbox.put_result("m", make_record(), b"picture", b"log")
    store.lines.clear()
    earlier = outbox.record("m", "p")
    outbox.put_result("m", make_record("d2", "p.webp"), b"picture", b"log", earlier=earlier)
    assert store.lines == [
        "remove m/p.json",
        "write m/p.loss.jsonl",
        "write m/p.webp",
        "write m/p.json",
        "remove m/p.png",
    ]


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_nothing_more_is_written_after_the_claim_is_lost(store: RecordingFolder, writes: int) -> None:
    def confirm() -> None:
        if len(store.lines) == writes:
            raise ClaimLostError("another runner has taken over")

    with pytest.raises(ClaimLostError):
        Outbox(store).put_result("m", make_record(), b"picture", b"log", confirm=confirm)
    assert len(store.lines) == writes
    assert Outbox(store).record("m", "p") is None


def test_a_result_is_current_only_for_the_same_digest(store: RecordingFolder) -> None:
    outbox = Outbox(store)
    assert current(outbox, "d1") is None
    outbox.put_result("m", make_record(), b"picture", b"log")
    found = current(outbox, "d1")
    assert found
    assert found.model_copy(update={"tags": {}}) == make_record()
    assert current(outbox, "d2") is None


def test_a_result_is_incomplete_if_another_runner_replaced_its_picture(store: RecordingFolder) -> None:
    outbox = Outbox(store)
    outbox.put_result("m", make_record(), b"picture", b"log")
    store.write("m/p.png", b"another runner's")
    assert current(outbox, "d1") is None


@pytest.mark.parametrize("missing", ["p.png", "p.loss.jsonl", "p.json"])
def test_a_result_is_incomplete_if_one_of_its_files_is_missing(store: RecordingFolder, missing: str) -> None:
    outbox = Outbox(store)
    outbox.put_result("m", make_record(), b"picture", b"log")
    store.remove(f"m/{missing}")
    assert current(outbox, "d1") is None


def test_a_record_that_cannot_be_read_is_ignored(store: RecordingFolder) -> None:
    store.write("m/p.json", b'{"id": "p"')
    assert Outbox(store).record("m", "p") is None
