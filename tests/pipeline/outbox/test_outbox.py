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


class Diary(FolderStore):
    """A folder that writes down what is done to it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.lines: list[str] = []

    def write(self, key: str, data: bytes) -> str:
        self.lines.append(f"write {key}")
        return super().write(key, data)

    def remove(self, key: str) -> None:
        self.lines.append(f"remove {key}")
        super().remove(key)


@pytest.fixture
def store(tmp_path: Path) -> Diary:
    return Diary(tmp_path)


def current(outbox: Outbox, digest: str) -> Record | None:
    record = outbox.record("m", "p")
    return record if record and outbox.is_whole("m", record) and record.input_digest == digest else None


def test_the_record_is_written_last_and_the_log_that_marks_a_result_first(store: Diary) -> None:
    Outbox(store).put_result("m", make_record(), b"picture", b"log")
    assert store.lines == ["write m/p.loss.jsonl", "write m/p.png", "write m/p.json"]


def test_a_new_picture_never_stands_beside_an_old_record(store: Diary) -> None:
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
def test_who_loses_the_manifest_meanwhile_writes_no_more(store: Diary, writes: int) -> None:
    def confirm() -> None:
        if len(store.lines) == writes:
            raise ClaimLostError("another runner has taken over")

    with pytest.raises(ClaimLostError):
        Outbox(store).put_result("m", make_record(), b"picture", b"log", confirm=confirm)
    assert len(store.lines) == writes
    assert Outbox(store).record("m", "p") is None


def test_only_the_same_digest_is_there_already(store: Diary) -> None:
    outbox = Outbox(store)
    assert current(outbox, "d1") is None
    outbox.put_result("m", make_record(), b"picture", b"log")
    found = current(outbox, "d1")
    assert found
    assert found.model_copy(update={"tags": {}}) == make_record()
    assert current(outbox, "d2") is None


def test_a_picture_that_is_not_the_record_s_own_is_as_good_as_none(store: Diary) -> None:
    outbox = Outbox(store)
    outbox.put_result("m", make_record(), b"picture", b"log")
    store.write("m/p.png", b"another runner's")
    assert current(outbox, "d1") is None


@pytest.mark.parametrize("lost", ["p.png", "p.loss.jsonl", "p.json"])
def test_an_incomplete_result_is_not_there(store: Diary, lost: str) -> None:
    outbox = Outbox(store)
    outbox.put_result("m", make_record(), b"picture", b"log")
    store.remove(f"m/{lost}")
    assert current(outbox, "d1") is None


def test_a_record_that_can_not_be_read_is_none(store: Diary) -> None:
    store.write("m/p.json", b'{"id": "p"')
    assert Outbox(store).record("m", "p") is None
