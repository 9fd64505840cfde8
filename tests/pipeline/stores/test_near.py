"""Errors about missing files suggest the file that the author of the manifest may mean."""

import itertools
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from pipeline.errors import StoreError, UnavailableError
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.near import NearNames
from pipeline.stores.s3 import S3Store
from pipeline.stores.sources import Sources
from pipeline.timing import Timing
from tests.pipeline.stores.altered import Altered

NFC, NFD = (unicodedata.normalize(form, "café.jpg") for form in ("NFC", "NFD"))
FILES = ("photos/cat.jpg", "photos/my dog.JPG", f"photos/{NFD}", "photos/2023/deep/x.png", "shoot [1]/a.jpg")


@pytest.fixture(params=["folder", "memory", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store with these files."""
    found: Store
    if request.param == "folder":
        found = FolderStore(tmp_path)
    elif request.param == "memory":
        found = MemoryStore(uuid4().hex)
    else:
        found = S3Store("s3://bucket/in", request.getfixturevalue("client"))
    for name in FILES:
        found.write(name, b"x")
    return found


@pytest.mark.parametrize(
    ("reference", "meant"),
    [
        ("photos/CAT.jpg", "photos/cat.jpg"),
        ("photos/cat.JPG", "photos/cat.jpg"),
        ("Photos/Cat.jpg", "photos/cat.jpg"),
        ("PHOTOS/2023/Deep/X.png", "photos/2023/deep/x.png"),
        ("photos/cat.jpg ", "photos/cat.jpg"),
        (" photos/cat.jpg", "photos/cat.jpg"),
        ("photos /cat.jpg", "photos/cat.jpg"),
        ("photos/cat.jpg\n", "photos/cat.jpg"),
        ("\u202aphotos/cat.jpg", "photos/cat.jpg"),
        ("photos\\cat.jpg", "photos/cat.jpg"),
        ("photos\\2023\\Deep\\x.png", "photos/2023/deep/x.png"),
        ("photos/my%20dog.JPG", "photos/my dog.JPG"),
        ("photos/my\u00a0dog.JPG", "photos/my dog.JPG"),
        ("Photos\\my%20Dog.jpg", "photos/my dog.JPG"),
    ],
)
def test_a_missing_file_suggests_another_one(store: Store, reference: str, meant: str) -> None:
    with pytest.raises(StoreError) as caught:
        Sources(store).read(reference)
    assert str(caught.value).startswith(f"{reference}: no such ")
    assert str(caught.value).endswith(f"; did you mean '{meant}'?")
    assert Sources(store).read(meant) == b"x"


def test_another_unicode_form_is_shown_as_it_can_be_written_in_a_manifest(store: Store) -> None:
    with pytest.raises(
        StoreError, match=r'did you mean "photos/cafe\\u0301.jpg", in another Unicode form\?$'
    ):
        Sources(store).read(f"photos/{NFC}")


@pytest.mark.parametrize("reference", ["photos/none.jpg", "none/cat.jpg", "photos", "photos/cat.jpg/x"])
def test_nothing_is_suggested_where_nothing_is_near(store: Store, reference: str) -> None:
    with pytest.raises(StoreError) as caught:
        Sources(store).read(reference)
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("Photos/*.jpg", "photos/*.jpg"),
        ("photos\\*.jpg", "photos/*.jpg"),
        ("photos/2023 /**/*.png", "photos/2023/**/*.png"),
        ("photos/my%20*.jpg", "photos/my *.jpg"),
        ("shoot [1]/*.jpg", "shoot [[]1]/*.jpg"),
        (f"photos/{NFC[:4]}*.jpg", f"photos/{NFD[:5]}*.jpg"),
        ("shoot [1]/?.[jJ]*", None),
        ("Shoot [1]/*.jpg", None),
    ],
)
def test_a_pattern_that_matches_nothing_suggests_another_one(
    store: Store, pattern: str, meant: str | None
) -> None:
    with pytest.raises(StoreError) as caught:
        Sources(store).glob(pattern)
    message = str(caught.value)
    assert message.startswith(f"no image matches '{pattern}'; ")
    assert ("; brackets are a pattern for one character, and '[[]' is" in message) == ("[" in pattern)
    assert message.isascii() or "in another Unicode form" in message
    assert meant is None or f"; did you mean '{meant}'?" in message or json.dumps(meant) in message
    assert ("did you mean" in message) == (meant is not None)
    if meant:
        assert Sources(store).glob(meant)


def test_a_url_of_a_file_and_a_tilde_suggest_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FolderStore(tmp_path / "in box")
    store.make()
    store.write("photos/my cat.jpg", b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    root = str(tmp_path).replace(" ", "%20")
    for reference in (
        f"file://{root}/in%20box/photos/my%20cat.jpg",
        f"file://localhost{root}/in%20box/photos/My%20cat.jpg",
        f"FILE:{root}/in box/photos/my cat.jpg",
        "file://photos/my%20cat.jpg",
        "~/in box/photos/my cat.jpg",
    ):
        with pytest.raises(StoreError) as caught:
            Sources(store).read(reference)
        assert str(caught.value).endswith("; did you mean 'photos/my cat.jpg'?")
    with pytest.raises(StoreError, match=r"did you mean 'photos/\*\.jpg'"):
        Sources(store).glob("~/in box/photos/*.jpg")


def test_a_suggestion_leads_only_to_places_that_may_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, allowed, other = (FolderStore(tmp_path / name) for name in ("in", "allowed", "other"))
    for store in (base, allowed, other):
        store.make()
        store.write("cat.jpg", b"x")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StoreError, match=f"did you mean '{tmp_path}/allowed/cat.jpg'"):
        Sources(base, [allowed]).read("~/allowed/Cat.jpg")
    for reference, message in (
        ("~/other/cat.jpg", "a manifest knows no '~', so write the whole path"),
        (f"file://{tmp_path}/other/cat.jpg", "write a path, and no URL"),
        ("none\\cat.jpg", "write '/' between folders"),
    ):
        with pytest.raises(StoreError) as caught:
            Sources(base, [allowed]).read(reference)
        assert str(caught.value).endswith(f"; {message}")


def test_the_names_of_a_folder_are_listed_once_for_many_missing_files() -> None:
    store = MemoryStore("hints")
    store.write("photos/cat.jpg", b"x")
    sources = Sources(store)
    for number in range(10):
        with pytest.raises(StoreError):
            sources.read(f"photos/{number}.jpg")
    assert store.calls.count(("names", "photos")) == 1


@pytest.mark.parametrize("name", ["a.png", "*.png"])
def test_a_path_of_very_many_levels_is_reported(store: Store, name: str) -> None:
    reference = "x/" * 1500 + name
    with pytest.raises(StoreError) as caught:
        if not Sources(store).glob(reference):
            raise StoreError("nothing matches")
        Sources(store).read(reference)
    assert "did you mean" not in str(caught.value)


def test_a_missing_file_below_many_missing_folders_costs_few_requests(client: Any) -> None:
    store = S3Store("s3://bucket/in", client)
    for key in ("top.png", "a/b/c/d/cat.png"):
        store.write(key, b"")
    listings: list[str] = []
    client.meta.events.register(
        "before-call.s3.ListObjectsV2", lambda params, **rest: listings.append(params["url"])
    )
    for reference, most in (("x/" * 50 + "b.png", 1), ("x/" * 10 + "b.png", 2), ("A/b/c/d/cat.png", 6)):
        listings.clear()
        with pytest.raises(StoreError):
            Sources(store).read(reference)
        assert 0 < len(listings) <= most


def test_many_missing_files_of_as_many_missing_folders_list_few_folders() -> None:
    store = MemoryStore("many_hints")
    store.write("photos/cat.jpg", b"x")
    sources = Sources(store, near=NearNames(Timing(hints=3600)))
    for number in range(1000):
        with pytest.raises(StoreError):
            sources.read(f"{number}/cat.jpg")
    assert [verb for verb, _ in store.calls].count("names") == 100
    assert store.calls.count(("names", "")) == 1


def test_folders_are_listed_again_after_a_while() -> None:
    store = MemoryStore("hints_again")
    store.write("photos/cat.jpg", b"x")
    sources = Sources(store, near=NearNames(Timing(hints=0)))
    for _ in range(150):
        with pytest.raises(StoreError, match=r"did you mean 'photos/cat\.jpg'"):
            sources.read("Photos/cat.jpg")


def test_a_store_that_cannot_be_listed_gives_no_suggestion() -> None:
    def fail(verb: str, key: str) -> None:
        if verb == "names":
            raise UnavailableError("no answer")

    store = MemoryStore("unlisted", fail)
    with pytest.raises(StoreError, match=r"^Cat\.jpg: no such file$"):
        Sources(store).read("Cat.jpg")


def test_a_bucket_of_very_many_folders_is_listed_only_to_the_limit(client: Any) -> None:
    asked = list[int]()

    class Endless:
        def paginate(self, **arguments: object) -> Iterator[dict[str, object]]:
            for page in itertools.count():
                asked.append(page)
                prefixes = [{"Prefix": f"{page}-{number}/"} for number in range(1000)]
                yield {"IsTruncated": True, "CommonPrefixes": prefixes}

    store = S3Store("s3://bucket", Altered(client, get_paginator=lambda operation: Endless()))
    assert len(store.names("", 1500)) == 1500
    assert asked == [0, 1]


def test_folders_of_a_bucket_are_names_like_files(client: Any) -> None:
    store = S3Store("s3://bucket/in", client)
    for key in ("a.png", "b/c.png", "b/d.png"):
        store.write(key, b"")
    client.put_object(Bucket="bucket", Key="in/b/", Body=b"")
    assert store.names("", 10) == ["a.png", "b/"]
    assert store.names("b", 10) == ["c.png", "d.png"]
    assert store.names("", 1) == ["a.png"]
