"""A runner that is paused before a write, and loses its claim meanwhile, changes nothing afterwards."""

import itertools
from collections.abc import Callable
from contextlib import suppress

import pytest

from pipeline.errors import ClaimLostError, ConflictError
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import LIMIT, is_done, make_record, opened, publish

CHANGES = ("write", "replace", "remove", "move")


def nothing(store: MemoryStore) -> None:
    pass


def an_earlier_result(store: MemoryStore) -> None:
    publish(store, "d0", "p.webp")


def leftovers_of_a_dead_runner(store: MemoryStore) -> None:
    publish(store, "d0")
    store.remove("m/p.json")


def an_edited_picture(store: MemoryStore) -> None:
    publish(store, "d0")
    store.write("m/p.png", b"edited")


def snapshots_of_an_earlier_result(store: MemoryStore) -> None:
    publish(store, "d0", snapshots=4)


class Runner:
    """Publishes a result. It is paused before one of its changes, where `meanwhile` happens."""

    def __init__(self, store: MemoryStore, pause: int, meanwhile: Callable[[], None]) -> None:
        self.store, self.left, self.meanwhile = store, pause, meanwhile
        self.claimed = self.running = True
        store.before = self.before

    def before(self, verb: str, key: str) -> None:
        if self.running and verb in CHANGES:
            self.left -= 1
            if self.left < 0:
                self.running, self.claimed = False, False
                self.meanwhile()

    def confirm(self) -> None:
        if not self.claimed:
            raise ClaimLostError("another runner has taken over")

    def work(self) -> None:
        publish(self.store, "d1", data=b"late", confirm=self.confirm, snapshots=2)


def files(store: MemoryStore) -> dict[str, str | None]:
    """All files with their tags, without the picture in another format that no record names any more."""
    return {key: store.tag(key) for key in store.glob("**/*") if not key.endswith(".webp")}


def was_paused(store: MemoryStore, pause: int, take_over: Callable[[], None]) -> bool:
    """Let a runner work that is paused before its change of this number; whether it came so far."""
    late = Runner(store, pause, take_over)
    with suppress(ClaimLostError):
        late.work()
    assert is_done(store)
    assert pause > 0 or not late.running
    return not late.running


@pytest.mark.parametrize(
    "before",
    [
        nothing,
        an_earlier_result,
        leftovers_of_a_dead_runner,
        an_edited_picture,
        snapshots_of_an_earlier_result,
    ],
)
def test_a_late_write_changes_nothing(before: Callable[[MemoryStore], None]) -> None:
    def take_over() -> None:
        publish(store, "d1", data=b"next", snapshots=2)
        after.update(files(store))

    for pause in itertools.count():
        store, after = MemoryStore("outbox"), dict[str, str | None]()
        before(store)
        if not was_paused(store, pause, take_over):
            return
        assert files(store) == after
        assert store.read("m/p.png", LIMIT) == b"next"
        assert store.read("m/p.snapshots/02.jpg", LIMIT) == b"next"


def test_a_runner_that_loses_its_claim_while_it_looks_up_a_tag_changes_nothing() -> None:
    def take_over(verb: str, key: str) -> None:
        if verb == "tag":
            store.before = lambda verb, key: None
            publish(store, "d1", data=b"next")
            after.update(files(store))

    def confirm() -> None:
        if after:
            raise ClaimLostError("another runner has taken over")

    store, after = MemoryStore("outbox"), dict[str, str | None]()
    results = opened(store, confirm=confirm)
    found = results.find("p")
    store.write("m/p.loss.jsonl", b"of a dead runner")  # so that the first write meets a conflict
    store.before = take_over
    with pytest.raises(ClaimLostError):
        results.put(make_record(), b"late", b"log", {}, found)
    assert files(store) == after


def test_a_late_write_does_not_disturb_a_runner_that_is_still_writing() -> None:
    def take_over() -> None:
        other = MemoryStore.open(store.url)
        steps = iter([False] * 2 + [True] * 100)  # the next runner is in the middle of its writes ...

        def late_write(verb: str, key: str) -> None:
            if verb in CHANGES and next(steps):
                store.before = lambda verb, key: None
                with suppress(ConflictError):  # ... when the request of the paused one arrives
                    store.replace("m/p.png", b"late", seen)

        store.before = late_write
        publish(other, "d1", data=b"next")
        store.before = lambda verb, key: None

    for pause in itertools.count():
        store = MemoryStore("outbox")
        publish(store, "d0")
        seen = store.tag("m/p.png")
        if not was_paused(store, pause, take_over):
            return


def test_a_file_that_always_changes_fails_the_pair_after_some_tries() -> None:
    def interfere(verb: str, key: str) -> None:
        if (verb, key) == ("replace", "m/p.png"):
            store.write(key, b"another program's")

    store = MemoryStore("outbox")
    store.before = interfere
    with pytest.raises(ConflictError, match="another program keeps changing it"):
        publish(store)
