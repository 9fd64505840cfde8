"""Patterns find the same as before, list nothing twice, and stop at their limits."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pipeline.errors import StoreError
from pipeline.stores.aws import connect
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store
from pipeline.stores.search import Search
from pipeline.stores.sources import Sources

FILES = ("a.png", "b.jpg", ".hidden.png", "in/c.png", "in/deep/d.png", "in/.hid/e.png", "photo[1].png")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["a.png", "photo[1].png"]),
        ("**/*.png", ["a.png", "in/c.png", "in/deep/d.png", "photo[1].png"]),
        ("**", ["a.png", "b.jpg", "in/c.png", "in/deep/d.png", "photo[1].png"]),
        ("**/deep/**/*.png", ["in/deep/d.png"]),
        ("**/in/**", ["in/c.png", "in/deep/d.png"]),
        ("in/*/d.*", ["in/deep/d.png"]),
        ("*/c.png", ["in/c.png"]),
        ("?.[pj]*", ["a.png", "b.jpg"]),
        (".h*", [".hidden.png"]),
        ("in/.h*/*", ["in/.hid/e.png"]),
        ("photo[1].png", ["photo[1].png"]),
        ("a.png/*", []),
        ("none/*", []),
    ],
)
def test_a_pattern_finds_the_same_in_a_folder_and_in_memory(
    tree: Path, pattern: str, found: list[str]
) -> None:
    memory = MemoryStore("search")
    for name in FILES:
        memory.write(name, b"")
    assert FolderStore(tree).glob(pattern) == memory.glob(pattern) == found


def test_links_are_followed_below_the_root_and_not_in_circles(tree: Path) -> None:
    (tree / "link").symlink_to("in/deep")
    (tree / "in" / "one").symlink_to("..")
    (tree / "in" / "two").symlink_to(tree)
    (tree / "circle").symlink_to("circle")
    (tree.parent / "out").mkdir()
    (tree.parent / "out" / "x.png").touch()
    (tree / "out").symlink_to(tree.parent / "out")
    store = FolderStore(tree)
    assert store.glob("**/d.png") == ["in/deep/d.png", "link/d.png"]
    assert store.glob("*/x.png") == store.glob("**/x.png") == []


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed."""
    folders: list[str] = []
    scandir = os.scandir

    def counting(path: Any) -> Any:
        folders.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    return folders


def test_patterns_of_one_search_list_each_folder_once(tree: Path, scanned: list[str]) -> None:
    store, shared = FolderStore(tree), Search()
    for pattern in ("**/*.png", "**/*.jpg", "in/*", "*.png"):
        assert store.glob(pattern, shared)
    assert len(scanned) == len(set(scanned)) == 3


def test_patterns_of_one_search_list_each_prefix_of_a_bucket_once() -> None:
    requests: list[str] = []
    with mock_aws():
        client = connect("s3")
        client.create_bucket(Bucket="bucket")
        store = S3Store("s3://bucket/in", client)
        for name in ("photos/a.png", "photos/b.jpg", "art/c.png"):
            store.write(name, b"x")
        client.meta.events.register(
            "before-call.s3.ListObjectsV2", lambda params, **rest: requests.append(params["url"])
        )
        shared = Search()
        patterns = ("photos/*.png", "photos/*.jpg", "photos/a*", "photos/[ab].*", "art/*")
        found = [store.glob(pattern, shared) for pattern in patterns]
    assert found[:3] == [["photos/a.png"], ["photos/b.jpg"], ["photos/a.png"]]
    assert found[4] == ["art/c.png"]
    assert len(requests) == 2


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A folder of 10 folders of 10 files each."""
    for folder in range(10):
        (tmp_path / f"{folder}").mkdir()
        for file in range(10):
            (tmp_path / f"{folder}" / f"{file}.png").touch()
    return tmp_path


def glob_all(glob: Callable[[str], list[str]], pattern: str, times: int) -> None:
    for _ in range(times):
        assert glob(pattern)


def test_the_limits_leave_room_for_a_hundred_thousand_pairs() -> None:
    shared = Search()
    shared.match(100_001, "*")
    shared.compare(1_000_000, "*")


def test_patterns_of_one_manifest_may_match_a_limited_number_of_files() -> None:
    memory = MemoryStore("many")
    for number in range(1000):
        memory.write(f"{number}.png", b"")
    glob_all(Sources(memory).search(), "*.png", 200)
    with pytest.raises(StoreError, match=r"^'\*\.png': the patterns of one manifest may match 200,000 files"):
        glob_all(Sources(memory).search(), "*.png", 201)


def test_patterns_of_one_manifest_compare_a_limited_number_of_names() -> None:
    memory = MemoryStore("compared")
    for number in range(1000):
        memory.write(f"{number}.png", b"")
    glob_all(Sources(memory).search(), "7.p*", 10_000 // 1000)
    shared = Search()
    shared.compare(10_000_000, "*")
    with pytest.raises(StoreError, match="may compare 10,000,000 names at most; name the folders more close"):
        memory.glob("7.p*", shared)


class Endless:
    """Stands for a bucket of endless objects: lists as many keys as it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, start: str, most: int) -> list[str]:
        self.asked += most
        return ["x"] * most


def test_patterns_of_one_manifest_list_a_limited_number_of_files() -> None:
    endless, shared = Endless(), Search()
    with pytest.raises(StoreError, match="may list 1,000,000 files and folders at most"):
        shared.keys("s3://bucket", "**/*.png", endless)
    assert endless.asked == 1_000_001


def test_a_folder_is_not_listed_beyond_the_limit(many: Path, scanned: list[str]) -> None:
    shared = Search()
    shared.keys("s3://bucket", "x*", lambda start, most: ["x"] * 999_985)
    with pytest.raises(StoreError, match="may list 1,000,000 files and folders at most"):
        FolderStore(many).glob("**/*.png", shared)
    assert len(scanned) == 2
