"""Patterns find the same as before, list nothing twice, and stop at their limits."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StoppedError, StoreError
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store
from pipeline.stores.search import Search
from pipeline.stores.sources import Sources

FILES = (
    *("a.png", "b.jpg", ".hidden.png", "in/c.png", "in/deep/d.png", "in/.hid/e.png", "photo[1].png"),
    *("C.PNG", "d.x.Jpg", "in/@eaDir/c.png", "in/#recycle/old.png", "$RECYCLE.BIN/x.png", "nas@eaDir/y.gif"),
    *("lost+found/z.png", "shoot [2023]/f.gif"),
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).touch()
    return tmp_path / "tree"


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.png", ["C.PNG", "a.png", "photo[1].png"]),
        ("*.PNG", ["C.PNG", "a.png", "photo[1].png"]),
        ("*png", ["C.PNG", "a.png", "photo[1].png"]),
        ("*.jp*", ["b.jpg", "d.x.Jpg"]),
        ("d*.J[pq]g", ["d.x.Jpg"]),
        ("c*.png", []),
        ("**/C.png", ["C.PNG"]),
        ("C.p*", ["C.PNG"]),
        ("[Cc].p[nN]?", ["C.PNG"]),
        ("[!a].[p]*", ["C.PNG"]),
        ("C[.]PNG", ["C.PNG"]),
        ("photo[[]1[]].PNG", ["photo[1].png"]),
        ("**/*.png", ["C.PNG", "a.png", "in/c.png", "in/deep/d.png", "photo[1].png"]),
        (
            "**",
            [
                *("C.PNG", "a.png", "b.jpg", "d.x.Jpg", "in/c.png", "in/deep/d.png", "nas@eaDir/y.gif"),
                *("photo[1].png", "shoot [2023]/f.gif"),
            ],
        ),
        ("in/*/c.png", []),
        ("in/@eaDir/*.png", ["in/@eaDir/c.png"]),
        ("in/@*/*.png", ["in/@eaDir/c.png"]),
        ("shoot [2023]/*.gif", []),
        ("shoot [[]2023]/*.gif", ["shoot [2023]/f.gif"]),
        ("shoot [[]2023]/f.gif", ["shoot [2023]/f.gif"]),
        ("**/deep/**/*.png", ["in/deep/d.png"]),
        ("**/in/**", ["in/c.png", "in/deep/d.png"]),
        ("in/*/d.*", ["in/deep/d.png"]),
        ("*/c.png", ["in/c.png"]),
        ("?.[pj]*", ["C.PNG", "a.png", "b.jpg"]),
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
    assert store.glob("link/d.png") == ["link/d.png"]
    assert store.glob("**/d.png") == ["in/deep/d.png"]
    assert store.glob("*/x.png") == store.glob("**/x.png") == []


def test_each_folder_is_searched_once_although_links_lead_to_each_other(
    tree: Path, scanned: list[str]
) -> None:
    for folder in ("one", "two"):
        (tree / folder).mkdir()
        (tree / folder / f"{folder}.gif").touch()
    (tree / "one" / "a").symlink_to("../two")
    (tree / "two" / "a").symlink_to("../one")
    (tree / "two" / "b").symlink_to("../one")
    (tree / "three").symlink_to("two")
    (tree / "one" / "latest").symlink_to(".")
    store = FolderStore(tree)
    assert store.glob("**/*.gif") == [
        *("nas@eaDir/y.gif", "one/one.gif", "shoot [2023]/f.gif", "two/two.gif")
    ]
    assert len(scanned) < 20
    assert store.glob("*/one.gif") == ["one/one.gif"]
    assert store.glob("*/*/one.gif") == ["two/a/one.gif"]


def test_a_folder_that_only_links_lead_to_is_searched_by_its_first_name(tree: Path) -> None:
    (tree / ".store").mkdir()
    (tree / ".store" / "s.gif").touch()
    for name in ("second", "first"):
        (tree / name).symlink_to(".store")
    assert FolderStore(tree).glob("**/s.gif") == ["first/s.gif"]


def test_what_is_left_out_is_reported_once(tree: Path) -> None:
    (tree / "gone.gif").symlink_to("nothing")
    (tree / "circle.gif").symlink_to("circle.gif")
    (tree / "other.png").symlink_to("nothing")
    os.mkfifo(tree / "pipe.gif")
    (tree.parent / "out").mkdir()
    (tree / "out").symlink_to(tree.parent / "out")
    warnings: list[str] = []
    shared, store = Search(warn=warnings.append), FolderStore(tree)
    for _ in range(2):
        assert store.glob("**/*.gif", shared) == ["nas@eaDir/y.gif", "shoot [2023]/f.gif"]
    assert sorted(warnings) == [
        f"{tree}/circle.gif: is a link that does not lead to an ordinary file; it is left out",
        f"{tree}/gone.gif: is a link that does not lead to an ordinary file; it is left out",
        f"{tree}/out: is a link to a folder outside {tree}; it is left out",
        f"{tree}/pipe.gif: is no ordinary file; it is left out",
    ]


def test_not_too_many_files_that_are_left_out_are_reported(tree: Path) -> None:
    for number in range(50):
        (tree / f"{number}.gif").symlink_to("nothing")
    warnings: list[str] = []
    assert FolderStore(tree).glob("*.gif", Search(warn=warnings.append)) == []
    assert len(warnings) == 21
    assert warnings[-1] == "more files are left out for such reasons"


def test_a_search_can_be_ended_in_a_folder_and_within_a_long_listing(tree: Path) -> None:
    def listing(start: str, most: int) -> Iterator[str]:
        for number in range(10_000):
            listed.append(number)
            yield f"{number}.png"

    def end() -> None:
        raise StoppedError

    listed: list[int] = []
    steps = iter([lambda: None, lambda: None, end])
    with pytest.raises(StoppedError):
        Search(lambda: next(steps)()).keys("s3://bucket", "*.png", listing)
    assert len(listed) < 5000
    with pytest.raises(StoppedError):
        FolderStore(tree).glob("**/*.png", Search(end))


def test_patterns_of_one_search_list_each_folder_once(tree: Path, scanned: list[str]) -> None:
    store, shared = FolderStore(tree), Search()
    for pattern in ("**/*.png", "**/*.jpg", "in/*", "*.png"):
        assert store.glob(pattern, shared)
    assert len(scanned) == len(set(scanned)) == 5


def test_patterns_of_one_search_list_each_prefix_of_a_bucket_once(client: Any) -> None:
    requests: list[str] = []
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


def test_markers_of_folders_do_not_hide_that_a_listing_is_beyond_the_limit(client: Any) -> None:
    store = S3Store("s3://bucket", client)
    for key in ("p/", "p/a.png", "p/b.png", "p/c.png"):
        client.put_object(Bucket="bucket", Key=key, Body=b"")
    assert store.glob("p/*") == ["p/a.png", "p/b.png", "p/c.png"]
    shared = Search()
    shared.keys("s3://other", "x*", lambda start, most: ["x"] * 999_997)
    with pytest.raises(StoreError, match="files and folders at most"):
        store.glob("p/*.png", shared)


def test_a_folder_is_not_listed_beyond_the_limit(many: Path, scanned: list[str]) -> None:
    shared = Search()
    shared.keys("s3://bucket", "x*", lambda start, most: ["x"] * 999_985)
    with pytest.raises(StoreError, match="may list 1,000,000 files and folders at most"):
        FolderStore(many).glob("**/*.png", shared)
    assert len(scanned) == 2
