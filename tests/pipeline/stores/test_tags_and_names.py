"""Tags in listings and beside contents, names that a store refuses, and states of images."""

import errno
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.errors import NameRefusedError, NotFoundError, StoreError, UnavailableError
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.listed import ListedStates
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store
from pipeline.stores.sources import Sources
from pipeline.stores.tree import explained
from pipeline.timing import Timing
from tests.pipeline.stores.altered import Altered

LIMIT = 1000


def test_a_listing_has_the_tags_that_writes_return_if_the_store_lists_tags(store: Store) -> None:
    written = {name: store.write(f"f/{name}", name.encode()) for name in ("a", "b c", "ü+%")}
    listed = {entry.name: entry.tag for entry in store.entries("f")}
    assert listed == (written if store.lists_tags else dict.fromkeys(written))


def test_a_content_comes_with_the_tag_of_a_listing(store: Store) -> None:
    for data in (b"one", b"two", b"two"):
        store.write("f/a", data)
        (entry,) = store.entries("f")
        assert store.fetch("f/a", LIMIT) == store.fetch("f/a", LIMIT) == (data, entry.tag)
    with pytest.raises(NotFoundError):
        store.fetch("f/missing", LIMIT)


def test_an_image_has_the_same_state_until_its_content_changes(store: Store) -> None:
    store.write("f/a.png", b"one")
    sources = Sources(store)
    _, state = sources.fetch("f/a.png")
    assert ListedStates(sources).state("f/a.png") == state
    assert (state is not None) == store.lists_tags
    store.write("f/a.png", b"two")
    assert ListedStates(sources).state("f/a.png") != state or not store.lists_tags
    assert ListedStates(sources).state("f/missing.png") is None
    assert ListedStates(sources).state("/elsewhere/a.png") is None


def test_states_of_two_images_or_two_stores_differ() -> None:
    first, second = MemoryStore("one"), MemoryStore("two")
    for store in (first, second):
        store.write("a.png", b"same")
    sources = Sources(first, [second])
    states = {ListedStates(sources).state(name) for name in ("a.png", "memory://two/a.png")}
    assert len(states) == 2 and None not in states


def test_a_folder_of_images_is_listed_once_until_the_listing_is_old() -> None:
    store = MemoryStore("images")
    store.write("a.png", b"x")
    for timing, count in ((Timing(), 1), (Timing(listing=-1.0), 5)):
        store.calls.clear()
        states = ListedStates(Sources(store), timing)
        assert {states.state("a.png") for _ in range(5)} == {states.state("a.png")}
        assert len(store.calls) in (count, count + 1)


def test_a_listing_that_fails_is_not_repeated_for_each_image() -> None:
    def refuse(verb: str, key: str) -> None:
        tried.append(verb)
        raise StoreError("access is denied")

    store, tried = MemoryStore("images", refuse), list[str]()
    states = ListedStates(Sources(store))
    assert [states.state("a.png") for _ in range(5)] == [None] * 5
    assert tried == ["entries"]


@pytest.mark.parametrize("key", ["x" * 300, f"{'x' * 300}/a", "folder", "file/a"])
def test_a_folder_refuses_names_that_it_can_not_hold(tmp_path: Path, key: str) -> None:
    store = FolderStore(tmp_path)
    store.write("folder/a", b"x")
    store.write("file", b"x")
    with pytest.raises(NameRefusedError):
        store.replace(key, b"x", None)


def test_a_folder_refuses_names_that_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    with pytest.raises(NameRefusedError, match="leads outside"):
        FolderStore(tmp_path / "in").write("link/a", b"x")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        *((number, NameRefusedError) for number in (errno.EINVAL, errno.EILSEQ, errno.ENAMETOOLONG)),
        *((number, StoreError) for number in (errno.EACCES, errno.EPERM, errno.EIO)),
        (errno.ENOSPC, UnavailableError),
    ],
)
def test_only_errors_about_a_name_refuse_it(number: int, kind: type[StoreError]) -> None:
    assert type(explained("a", OSError(number, "text"))) is kind


@pytest.mark.parametrize("name", ["x" * 1020, "\ud800"])
def test_a_bucket_refuses_keys_that_no_server_can_hold(client: Any, name: str) -> None:
    store = S3Store("s3://bucket/prefix", client)
    with pytest.raises(NameRefusedError):
        store.replace(name, b"x", None)
    with pytest.raises(NameRefusedError):
        store.entries(name)


def test_a_key_that_the_server_does_not_allow_is_refused(client: Any) -> None:
    def put_object(**_: Any) -> Any:
        raise ClientError({"Error": {"Code": "KeyTooLongError"}}, "PutObject")

    with pytest.raises(NameRefusedError, match="the server does not allow this name"):
        S3Store("s3://bucket", Altered(client, put_object=put_object)).write("a", b"x")
