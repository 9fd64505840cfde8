import pytest

from pipeline.errors import ClaimLostError, UnavailableError, UsageError
from pipeline.stores.base import History
from pipeline.stores.memory import MemoryStore
from pipeline.stores.memory_claim import MemoryClaim
from pipeline.stores.opening import Stores
from pipeline.timing import Timing

LIMIT = 1000


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("test")


def claimed(store: MemoryStore) -> MemoryClaim:
    claim = store.claim("a", "held/a")
    assert claim
    return claim


def test_a_store_is_the_same_object_under_its_url(store: MemoryStore) -> None:
    assert Stores().open("memory://test") is store
    assert Stores().outbox("memory://test/") is store
    with pytest.raises(UsageError, match="memory://other: this process has made no MemoryStore"):
        Stores().open("memory://other")
    with pytest.raises(UsageError, match="a name consists of"):
        MemoryStore("a/b")


def test_a_store_has_no_file_events_and_is_scanned_often() -> None:
    store = MemoryStore("test", timing=Timing(scan=7.0))
    assert store.event_folder is None
    assert store.idle_interval == 7.0


def test_calls_are_recorded_in_their_order(store: MemoryStore) -> None:
    store.write("a", b"text")
    claim = claimed(store)
    claim.confirm()
    claim.move_to("done/a", clearing=["failed/a"])
    store.remove("b")
    assert store.calls == [
        ("write", "a"),
        ("claim", "a"),
        ("confirm", "held/a"),
        ("move_to", "done/a"),
        ("remove", "b"),
    ]


def test_a_call_that_is_made_to_fail_changes_nothing(store: MemoryStore) -> None:
    def before(verb: str, key: str) -> None:
        if (verb, key) in (("write", "b"), ("move_to", "done/a")):
            raise UnavailableError(f"{key}: out of reach")

    store.write("a", b"text")
    claim = claimed(store)
    store.before = before
    with pytest.raises(UnavailableError):
        store.write("b", b"text")
    with pytest.raises(UnavailableError):
        claim.move_to("done/a")
    assert store.calls == [("write", "a"), ("claim", "a")]
    assert store.glob("**/*") == ["held/a"]
    claim.move_to("failed/a")
    assert store.glob("**/*") == ["failed/a"]


def test_an_abandoned_claim_is_lost_and_the_next_one_counts_a_crash(store: MemoryStore) -> None:
    store.write("a", b"text")
    first = claimed(store)
    store.abandon("held/a")
    second = claimed(store)
    assert second.history.crashes == 1
    for call in (first.confirm, lambda: first.move_to("done/a")):
        with pytest.raises(ClaimLostError, match="held/a: another runner has taken over"):
            call()
    first.release()
    second.confirm()
    store.abandon("held/a")
    third = claimed(store)
    assert third.history.crashes == 2
    third.note(History())
    store.abandon("held/a")
    assert claimed(store).history.crashes == 1


def test_crashes_are_those_of_one_file(store: MemoryStore) -> None:
    store.write("a", b"text")
    claimed(store)
    store.abandon("held/a")
    store.remove("held/a")
    store.write("a", b"newer")
    assert claimed(store).history.crashes == 0
