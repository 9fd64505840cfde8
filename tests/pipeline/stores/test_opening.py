from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.stores.folder import FolderStore
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


def test_images_may_come_from_the_surroundings_of_an_inbox(aws: str) -> None:
    stores = Stores(aws)
    sources = stores.sources("s3://bucket/in", ["s3://other/art"])
    assert sources.base_url == "s3://bucket/in"
    assert sources.allowed_urls == ("s3://bucket/", "s3://other/art")


def test_a_store_is_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stores = Stores()
    assert stores.open("in") is stores.open("in") is stores.open(str(tmp_path / "in"))
    assert stores.sources("in").base is stores.open("in")
