"""What every store promises, tried on each kind."""

import threading

import pytest

from pipeline.errors import ConflictError, NotFoundError, StoreError
from pipeline.stores.base import Store

LIMIT = 1000


def test_what_is_written_is_read(store: Store) -> None:
    first = store.write("a/b.txt", b"one")
    assert store.tag("a/b.txt") == first
    second = store.write("a/b.txt", b"longer")
    assert store.read("a/b.txt", LIMIT) == b"longer"
    assert store.tag("a/b.txt") == second != first


def test_reading_again_sees_what_is_new(store: Store) -> None:
    for data in (b"one", b"one", b"two"):
        store.write("a", data)
        assert store.read("a", LIMIT) == data


def test_what_is_not_there_is_told(store: Store) -> None:
    assert store.tag("missing") is None
    store.remove("missing")
    with pytest.raises(NotFoundError, match="missing: no such"):
        store.read("missing", LIMIT)
    with pytest.raises(NotFoundError):
        store.move("missing", "b")


def test_what_is_too_large_is_told(store: Store) -> None:
    store.write("large", b"x" * (LIMIT + 1))
    with pytest.raises(StoreError, match="at most"):
        store.read("large", LIMIT)


def test_listings_show_one_level(store: Store) -> None:
    for key in ("b", "a", ".hidden", "folder/c", "folder/deep/d"):
        store.write(key, key.encode())
    assert [(e.name, e.size) for e in store.entries("")] == [("a", 1), ("b", 1)]
    assert [e.name for e in store.entries("folder")] == ["c"]
    assert list(store.entries("nothing here")) == []


def test_more_than_a_page_is_listed(store: Store) -> None:
    names = [f"{number:04}" for number in range(1100)]
    for name in names:
        store.write(name, b"x")
    assert [entry.name for entry in store.entries("")] == names


def test_a_version_tells_contents_apart(store: Store) -> None:
    store.write("a", b"one")
    (before,) = store.entries("")
    store.write("a", b"two")
    (after,) = store.entries("")
    assert before.version != after.version


def test_moving_never_covers(store: Store) -> None:
    store.write("a", b"one")
    store.move("a", "b/a")
    assert store.tag("a") is None
    store.write("a", b"two")
    with pytest.raises(ConflictError):
        store.move("b/a", "a")
    assert store.read("a", LIMIT) == b"two"
    assert store.read("b/a", LIMIT) == b"one"


def test_globs_are_sorted(store: Store) -> None:
    for key in ("p/b.jpg", "p/a.jpg", "p/q/c.jpg", "p/d.png", "p/.hidden.jpg", "p/photo[1].jpg"):
        store.write(key, b"x")
    assert store.glob("p/[ab].jpg") == ["p/a.jpg", "p/b.jpg"]
    assert store.glob("**/c.*") == ["p/q/c.jpg"]
    assert store.glob("p/*.jpg") == ["p/a.jpg", "p/b.jpg", "p/photo[1].jpg"]
    assert store.glob("p/photo[1].jpg") == ["p/photo[1].jpg"]


def test_references_lead_inside_or_elsewhere(store: Store) -> None:
    assert store.key(store.absolute("p/a.jpg")) == "p/a.jpg"
    assert store.key(store.absolute("p/../a.jpg")) == "a.jpg"
    assert store.key(store.absolute("../a.jpg")) is None
    for reference in ("/etc/hostname", "s3://other/some/prefix/a.jpg"):
        assert store.key(store.absolute(reference)) is None


def test_a_claim_excludes_others_until_it_is_released(store: Store) -> None:
    assert store.exclusive()
    store.write("a", b"text")
    claim = store.claim("a", "held/a")
    assert claim
    claim.confirm()
    assert claim.read(LIMIT) == b"text"
    assert store.tag("a") is None
    assert store.claim("a", "held/a") is None
    claim.release()
    assert store.read("a", LIMIT) == b"text"
    again = store.claim("a", "held/a")
    assert again
    store.write("failed/a", b"old")
    again.move_to("done/a", clearing=["failed/a", "failed/b"])
    claim.release()  # has ended long ago, and must not do anything
    assert store.read("done/a", LIMIT) == b"text"
    assert [store.tag(key) for key in ("a", "held/a", "failed/a")] == [None, None, None]
    assert [entry.name for entry in store.entries("held")] == []


def test_what_was_held_before_comes_first_and_nothing_is_covered(store: Store) -> None:
    store.write("held/a", b"older")
    store.write("a", b"newer")
    claim = store.claim("a", "held/a")
    assert claim
    assert claim.read(LIMIT) == b"older"
    claim.release()
    assert store.read("held/a", LIMIT) == b"older"
    assert store.read("a", LIMIT) == b"newer"


def test_nothing_is_claimed_where_nothing_is(store: Store) -> None:
    assert store.claim("a", "held/a") is None
    assert list(store.entries("held")) == []


@pytest.mark.parametrize("store", ["folder", "seaweed"], indirect=True)  # moto looks and writes in two steps
def test_of_eight_threads_exactly_one_wins_each_claim(store: Store) -> None:
    for number in range(10):
        store.write(f"{number}", b"x")
    barrier, won, kept = threading.Barrier(8), list[int](), list[object]()

    def claim_all() -> None:
        barrier.wait()
        for number in range(10):
            if claim := store.claim(f"{number}", f"held/{number}"):
                kept.append(claim)
                won.append(number)

    threads = [threading.Thread(target=claim_all) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(10))
