from typing import Any

import pytest

from pipeline.errors import NotFoundError, StoreError
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store
from pipeline.stores.sources import Sources


@pytest.fixture
def inbox() -> MemoryStore:
    store = MemoryStore("inbox")
    for key in ("m/a.png", "m/b.png"):
        store.write(key, key.encode())
    return store


def test_absolute_references_lead_into_allowed_stores_only(inbox: MemoryStore) -> None:
    art = MemoryStore("art")
    art.write("c.png", b"c")
    sources = Sources(inbox, [art])
    assert sources.read("m/a.png") == sources.read("memory://inbox/m/a.png") == b"m/a.png"
    assert sources.read("memory://art/c.png") == b"c"
    assert sources.glob("memory://art/*") == ["memory://art/c.png"]
    with pytest.raises(
        StoreError, match=r"^memory://other/d\.png: lies outside memory://inbox; move it there"
    ):
        sources.read("memory://other/d.png")
    with pytest.raises(StoreError, match=r"^https://host/d\.png: nothing is fetched from the web"):
        sources.read("https://host/d.png")


def test_an_error_names_the_reference_as_the_manifest_has_it(inbox: MemoryStore) -> None:
    with pytest.raises(NotFoundError, match=r"^m/missing\.png: no such file$"):
        Sources(inbox).read("m/missing.png")


def test_patterns_skip_results(inbox: MemoryStore) -> None:
    sources = Sources(inbox, results_among=lambda references: {"memory://inbox/m/b.png"} & {*references})
    assert sources.glob("m/*.png") == ["m/a.png"]
    assert sources.glob("m/*.jpg") == []
    with pytest.raises(StoreError, match="matches only results"):
        sources.glob("m/b.*")
    assert sources.read("m/b.png")


def test_every_key_that_a_pattern_finds_can_be_read(client: Any) -> None:
    keys = ("a.png", "x//b.png", "/d.png", "x///e.png", "x/ f.png", "x/%20g.png", "http://h.png")
    for key in keys:
        client.put_object(Bucket="bucket", Key=f"some/prefix/{key}", Body=key.encode())
    url = "s3://bucket/some/prefix"
    base, memory = S3Store(url, client), MemoryStore("keys")
    for key in keys:
        memory.write(key, key.encode())
    for sources, start in (
        (Sources(base), ""),
        (Sources(MemoryStore("elsewhere"), [base]), f"{url}/"),
        (Sources(memory), ""),
    ):
        found = sources.glob(f"{start}**/*.png")
        assert sorted(sources.read(reference).decode() for reference in found) == sorted(keys)
    assert Sources(base).read("x//../a.png") == b"a.png"  # what a person writes is a path
