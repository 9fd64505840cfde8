"""The promises of the `Store` protocol, tested on each kind of store."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from pipeline.errors import ClaimLostError, ConflictError, NotFoundError, StoreError
from pipeline.stores.base import Claim, History, Store
from pipeline.stores.opening import Stores
from pipeline.stores.s3 import S3Store

LIMIT = 1000


def claimed(store: Store) -> Claim:
    """The claim on a new file "a", which is then "held/a"."""
    store.write("a", b"text")
    claim = store.claim("a", "held/a")
    assert claim
    return claim


def test_a_read_returns_what_was_written(store: Store) -> None:
    first = store.write("a/b.txt", b"one")
    assert store.tag("a/b.txt") == first
    second = store.write("a/b.txt", b"longer")
    assert store.read("a/b.txt", LIMIT) == b"longer"
    assert store.tag("a/b.txt") == second != first


def test_a_second_read_returns_new_content(store: Store) -> None:
    for data in (b"one", b"one", b"two"):
        store.write("a", data)
        assert store.read("a", LIMIT) == data


def test_a_missing_file_is_an_error_only_where_its_content_is_needed(store: Store) -> None:
    assert store.tag("missing") is None
    store.remove("missing")
    with pytest.raises(NotFoundError, match="missing: no such"):
        store.read("missing", LIMIT)
    with pytest.raises(NotFoundError):
        store.move("missing", "b")


def test_a_file_above_the_limit_is_an_error(store: Store) -> None:
    store.write("large", b"x" * (LIMIT + 1))
    with pytest.raises(StoreError, match="at most"):
        store.read("large", LIMIT)


def test_a_part_has_the_bytes_of_its_range_and_the_entry_of_the_whole_file(store: Store) -> None:
    data = bytes(range(100))
    store.write("folder/a", data)
    entry = store.entry("folder/a")
    assert entry
    for version in (None, entry.version):
        for begin, size in ((0, 10), (0, 100), (0, 1000), (37, 1), (90, 10), (90, 50), (100, 5), (500, 5)):
            part = store.part("folder/a", begin, size, version)
            assert (part.data, part.entry) == (data[begin : begin + size], entry)


def test_an_empty_file_has_an_empty_part(store: Store) -> None:
    store.write("a", b"")
    part = store.part("a", 0, 10)
    assert (part.data, part.entry.size) == (b"", 0)
    assert part.entry == store.entry("a")


def test_parts_of_two_versions_are_not_mixed(store: Store) -> None:
    store.write("a", b"one " * 100)
    first = store.part("a", 0, 200)
    for newer in (b"two " * 100, b"shorter"):
        store.write("a", newer)
        with pytest.raises(ConflictError, match="a"):
            store.part("a", 200, 200, first.entry.version)
    assert store.part("a", 0, 200).data == b"shorter"
    store.remove("a")
    for version in (None, first.entry.version):
        with pytest.raises(NotFoundError):
            store.part("a", 0, 200, version)


def test_a_listing_has_the_visible_files_of_one_folder(store: Store) -> None:
    for key in ("b", "a", ".hidden", "folder/c", "folder/deep/d"):
        store.write(key, key.encode())
    assert [(e.name, e.size) for e in store.entries("")] == [("a", 1), ("b", 1)]
    assert [e.name for e in store.entries("folder")] == ["c"]
    assert list(store.entries("nothing here")) == []


def test_a_listing_may_be_longer_than_one_page(real_store: S3Store) -> None:
    store, names = real_store, [f"{number:04}" for number in range(1001)]
    for name in names:
        store.write(name, b"x")
    assert [entry.name for entry in store.entries("")] == names


def test_a_listing_has_another_version_and_the_time_when_the_content_changes(store: Store) -> None:
    began = time.time()
    store.write("a", b"one")
    (before,) = store.entries("")
    store.write("a", b"two")
    (after,) = store.entries("")
    assert before.version != after.version
    # Two seconds, because a bucket counts whole seconds and a folder takes the time of the last clock tick.
    assert began - 2 < before.modified <= after.modified < time.time() + 2


def test_one_file_has_the_same_entry_as_in_a_listing(store: Store) -> None:
    for key in ("a", "folder/b"):
        store.write(key, b"text")
        folder, _, name = key.rpartition("/")
        (listed,) = (entry for entry in store.entries(folder) if entry.name == name)
        found = store.entry(key)
        assert found
        assert (found.name, found.size, found.tag) == (listed.name, listed.size, listed.tag)
        assert found.version == listed.version
        store.write(key, b"other")
        changed = store.entry(key)
        assert changed and changed.version != found.version
    for key in ("missing", "folder", "missing/a", "a/b"):
        assert store.entry(key) is None


def test_a_move_does_not_replace_a_file(store: Store) -> None:
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
    store.write("p/photo1.jpg", b"x")
    assert store.glob("p/photo[1].jpg") == ["p/photo[1].jpg"]  # a name that exists is taken as it is


def test_references_lead_inside_or_outside(store: Store) -> None:
    assert store.key(store.absolute("")) is not None
    assert store.key(store.absolute("p/a.jpg")) == "p/a.jpg"
    assert store.key(store.absolute("p/../a.jpg")) == "a.jpg"
    assert store.key(store.absolute("../a.jpg")) is None
    for reference in ("/etc/hostname", "s3://other/some/prefix/a.jpg", "memory://other/a.jpg"):
        assert store.key(store.absolute(reference)) is None


def test_surroundings_contain_the_store(store: Store) -> None:
    store.write("a", b"text")
    if store.surroundings:
        client = store.objects.client if isinstance(store, S3Store) else None
        around = Stores(client=client).open(store.surroundings)
        assert around.read(around.key(store.absolute("a")) or "", LIMIT) == b"text"


def test_a_store_exists_once_it_is_made_and_making_it_leaves_no_files(store: Store) -> None:
    store.make()
    assert store.exists()
    store.make()
    assert store.glob("**/*") == store.glob("**/.*") == []


def test_a_store_is_opened_again_by_its_url(store: Store) -> None:
    store.write("a", b"text")
    client = store.objects.client if isinstance(store, S3Store) else None
    again = Stores(client=client).inbox(store.url)
    assert again.read("a", LIMIT) == b"text"


def test_a_claim_excludes_others_until_it_is_released(store: Store) -> None:
    assert not store.claim_fault()
    claim = claimed(store)
    claim.confirm()
    assert claim.read(LIMIT) == b"text"
    assert claim.history.crashes == 0
    assert store.tag("a") is None
    assert store.claim("a", "held/a") is None
    claim.release()
    assert store.read("a", LIMIT) == b"text"
    again = store.claim("a", "held/a")
    assert again
    store.write("failed/a", b"old")
    again.move_to("done/a", clearing=["failed/a", "failed/b"])
    claim.release()  # this claim has ended before, so that nothing happens
    assert store.read("done/a", LIMIT) == b"text"
    assert [store.tag(key) for key in ("a", "held/a", "failed/a")] == [None, None, None]
    assert [entry.name for entry in store.entries("held")] == []


def test_an_older_file_that_is_held_comes_first_and_is_not_replaced(store: Store) -> None:
    store.write("held/a", b"older")
    store.write("a", b"newer")
    claim = store.claim("a", "held/a")
    assert claim
    assert claim.read(LIMIT) == b"older"
    claim.release()
    assert store.read("held/a", LIMIT) == b"older"
    assert store.read("a", LIMIT) == b"newer"


def test_a_missing_file_can_not_be_claimed(store: Store) -> None:
    assert store.claim("a", "held/a") is None
    assert list(store.entries("held")) == []


def remove(store: Store) -> None:
    store.remove("held/a")


def move_away(store: Store) -> None:
    store.move("held/a", "elsewhere/a")


@pytest.mark.parametrize("take_away", [remove, move_away])
def test_a_claim_whose_file_was_taken_away_publishes_nothing(
    store: Store, take_away: Callable[[Store], None]
) -> None:
    claim = claimed(store)
    assert claim.present()
    store.write("failed/a", b"old")
    take_away(store)
    assert not claim.present()
    with pytest.raises(ClaimLostError, match="held/a was moved or deleted; work on it stops"):
        claim.move_to("done/a", clearing=["failed/a"])
    claim.release()
    assert store.tag("a") is store.tag("done/a") is store.tag("held/a") is None
    assert store.tag("failed/a")
    assert claimed(store)  # the name is free for a new file


def test_a_claim_that_is_dropped_leaves_the_file_and_the_name_to_others(store: Store) -> None:
    claim = claimed(store)
    store.remove("held/a")
    claim.drop()
    second = claimed(store)
    claim.drop()
    claim.release()
    claim.move_to("done/a")
    assert not claim.present()
    with pytest.raises(ClaimLostError):
        claim.confirm()
    assert second.present()
    second.confirm()
    assert store.claim("a", "held/a") is None
    second.drop()
    assert store.read("held/a", LIMIT) == b"text"
    third = store.claim("a", "held/a")
    assert third
    assert third.history.crashes == 0


@pytest.mark.parametrize("end", [lambda claim: claim.release(), lambda claim: claim.move_to("done/a")])
def test_a_claim_that_has_ended_is_not_confirmed(store: Store, end: Callable[[Claim], None]) -> None:
    claim = claimed(store)
    end(claim)
    assert not claim.present()
    with pytest.raises(ClaimLostError, match="the claim has ended"):
        claim.confirm()


def test_a_history_is_kept_when_a_claim_is_released_and_belongs_to_the_content(store: Store) -> None:
    noted = History(crashes=1, pair="p", deaths=2, failed=("q",))
    claim = claimed(store)
    claim.note(noted)
    claim.release()
    again = store.claim("a", "held/a")
    assert again and again.history == noted
    again.release()
    store.write("a", b"text")  # the same content, uploaded again
    third = store.claim("a", "held/a")
    assert third and third.history == noted
    third.release()
    store.write("a", b"other")
    fourth = store.claim("a", "held/a")
    assert fourth and fourth.history == History()


def test_a_file_is_replaced_only_if_it_is_the_one_that_was_seen(store: Store) -> None:
    first = store.replace("a", b"one", seen=None)
    with pytest.raises(ConflictError):
        store.replace("a", b"late", seen=None)
    second = store.replace("a", b"longer", seen=first)
    with pytest.raises(ConflictError):
        store.replace("a", b"late again", seen=first)
    store.remove("a", seen=first)
    assert store.read("a", LIMIT) == b"longer"
    store.remove("a", seen=second)
    assert store.tag("a") is None
    with pytest.raises(ConflictError):
        store.replace("a", b"late", seen=second)


def test_a_folder_is_reserved_by_one_at_a_time(store: Store) -> None:
    first = store.reserve("results")
    assert first
    second = store.reserve("results")
    assert isinstance(store, S3Store) or second is None
    first.close()
    third = store.reserve("results")
    assert third
    third.close()


def test_parts_of_a_folder_are_reserved_each_by_one_at_a_time(store: Store) -> None:
    first, second = store.reserve("results", "1-of-2"), store.reserve("results", "2-of-2")
    assert first
    assert second
    assert store.reserve("results", "1-of-2") is None
    assert store.reserve("other", "1-of-2")
    first.confirm()
    first.close()
    second.confirm()
    again = store.reserve("results", "1-of-2")
    assert again
    with pytest.raises(ClaimLostError):
        first.confirm()
    again.confirm()
    assert list(store.entries("results")) == []


# A bucket does not keep others from the whole folder.
@pytest.mark.parametrize("store", ["folder", "memory"], indirect=True)
def test_a_folder_and_a_part_of_it_are_not_reserved_at_the_same_time(store: Store) -> None:
    part = store.reserve("results", "1-of-2")
    assert part
    assert store.reserve("results") is None
    assert store.reserve("results", "2-of-2")  # the try has left nothing behind
    part.close()
    assert store.reserve("results") is None
    whole = store.reserve("other")
    assert whole
    assert store.reserve("other", "1-of-2") is None
    whole.close()
    assert store.reserve("other", "1-of-2")


# Not on moto, which checks a condition and writes in two steps.
@pytest.mark.parametrize("store", ["folder", "memory", "seaweed"], indirect=True)
def test_each_new_file_is_written_by_exactly_one_of_eight_threads(store: Store) -> None:
    barrier, written = threading.Barrier(8), list[tuple[str, bytes]]()

    def write_all(data: bytes) -> None:
        barrier.wait()
        for number in range(20):
            with suppress(ConflictError):
                store.replace(f"{number}", data, None)
                written.append((f"{number}", data))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_all, [b"%d" % number for number in range(8)]))
    assert sorted(written) == sorted((f"{number}", store.read(f"{number}", 9)) for number in range(20))


# Not on moto, which checks a condition and writes in two steps.
@pytest.mark.parametrize("store", ["folder", "memory", "seaweed"], indirect=True)
def test_each_file_is_claimed_by_exactly_one_of_eight_threads(store: Store) -> None:
    for number in range(10):
        store.write(f"{number}", b"x")
    barrier, won, kept = threading.Barrier(8), list[int](), list[object]()

    def claim_all(_: int) -> None:
        barrier.wait()
        for number in range(10):
            if claim := store.claim(f"{number}", f"held/{number}"):
                kept.append(claim)
                won.append(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(claim_all, range(8)))
    assert sorted(won) == list(range(10))
