from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.opening import Stores


def test_an_inbox_has_to_exist_and_an_outbox_is_created(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder; make it first"):
        Stores().inbox(str(tmp_path / "in"))
    outbox = Stores().outbox(str(tmp_path / "out"))
    assert isinstance(outbox, FolderStore)
    assert outbox.exists()


@pytest.mark.parametrize("outbox", ["", "out", ".."])
def test_an_outbox_is_apart_from_its_inbox(tmp_path: Path, outbox: str) -> None:
    inbox = FolderStore(tmp_path / "in")
    with pytest.raises(UsageError, match="lie in one another"):
        Stores().outbox(str(inbox.root / outbox), apart_from=inbox)


def test_another_scheme_is_an_error() -> None:
    with pytest.raises(UsageError, match="ftp://host/in: a folder or s3://BUCKET/PREFIX is needed"):
        Stores().open("ftp://host/in")


def test_images_may_come_from_the_surroundings_of_an_inbox(tmp_path: Path) -> None:
    class Prefix(MemoryStore):
        """Lies in a larger store."""

        def surroundings(self) -> MemoryStore:  # type: ignore[override]
            return whole

    whole = MemoryStore("whole")
    assert Stores().sources(Prefix("part")) == [whole]
    assert Stores().sources(FolderStore(tmp_path)) == []
