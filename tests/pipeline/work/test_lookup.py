"""How a runner finds earlier results: in which order, with how many requests, and what faults do."""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pipeline.engines.base import Finished, Outcome, Task, Unchanged
from pipeline.errors import NameRefusedError, StoreError
from pipeline.events.listener import (
    Failed,
    ManifestEnded,
    ManifestLeft,
    Note,
    PairDone,
    StoreUnavailable,
)
from pipeline.inbox.inbox import Inbox
from pipeline.outbox.pages import PAIRS
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import make_record, opened
from tests.pipeline.work.conftest import QUICK, Shop

Make = Callable[..., Shop]
LIMIT = 10**7
MANY = 2 * PAIRS + 10  # pairs, of three pages


def again(runner: Shop, shop: Make, **options: Any) -> Shop:
    """Put the manifest back, and let another runner work on it; `calls` has only what this one does."""
    runner.inbox.move("done/m.json", "m.json")
    other = shop(at=runner, **options)
    runner.inbox.calls.clear()
    runner.outbox.calls.clear()
    other.work()
    return other


def computed(runner: Shop) -> list[str]:
    """The pairs that were computed, sorted: pairs are published in any order."""
    return sorted(event.record.id for event in runner.listener.of(PairDone) if event.computed)


def files(store: MemoryStore) -> dict[str, str | None]:
    return {key: store.tag(key) for key in store.glob("**/*")}


# Faults of the outbox.


@pytest.mark.parametrize("verb", ["entries", "read", "tag", "replace", "remove"])
def test_a_fault_of_the_outbox_is_waited_for_and_reported_once(shop: Make, verb: str) -> None:
    def refuse(used: str, key: str) -> None:
        if used == verb and next(tries, None) is not None:
            raise StoreError("outbox: access is denied")

    runner = shop()
    runner.drop("m", 1)
    runner.work()
    runner.inbox.move("done/m.json", "m.json")
    runner.inbox.write("a.png", b"another image")
    runner.outbox.write("m/p0.png", b"edited")  # so that its tag is looked up
    other, tries = shop(at=runner), iter(range(4))
    runner.outbox.before = refuse
    other.work()
    assert runner.manifests("done") == ["m.json"]
    assert other.listener.of(Failed) == []
    assert computed(other) == ["p0"]
    reports = other.listener.of(StoreUnavailable)
    assert [event.again for event in reports] == [False, True, True, True]


def test_a_fault_while_a_claim_is_confirmed_fails_no_pair(shop: Make) -> None:
    def refuse(verb: str, key: str) -> None:
        if verb == "confirm" and next(tries, None) is not None:
            raise StoreError("inbox: access is denied")

    runner, tries = shop(), iter(range(4))
    runner.inbox.before = refuse
    runner.drop("m", 2)
    runner.work()
    assert runner.listener.of(Failed) == []
    assert runner.manifests("done") == ["m.json"]


def test_a_name_that_the_outbox_can_not_hold_fails_its_pair_only(shop: Make) -> None:
    def refuse(verb: str, key: str) -> None:
        if verb == "replace" and key == "m/p1.png":
            raise NameRefusedError("m/p1.png: the name is too long")

    runner = shop()
    runner.outbox.before = refuse
    runner.drop("m", 3)
    runner.work()
    assert [event.problem.id for event in runner.listener.of(Failed)] == ["p1"]
    assert runner.listener.of(StoreUnavailable) == []
    assert computed(runner) == ["p0", "p2"]


def test_a_manifest_whose_folder_the_outbox_can_not_hold_fails(shop: Make) -> None:
    def refuse(verb: str, key: str) -> None:
        if verb == "entries":
            raise NameRefusedError("m: a part of the path is not a folder")

    runner = shop()
    runner.outbox.before = refuse
    runner.drop("m", 3)
    runner.work()
    assert len(runner.listener.of(Failed)) == 3
    assert runner.manifests("failed") == ["m.error.json", "m.json"]


# Late writes.


@pytest.mark.parametrize("name", ["thumbs", "p1.loss.jsonl", "p1.png", "p1.json", "index.html"])
def test_a_runner_that_sleeps_before_a_write_changes_nothing_afterwards(shop: Make, name: str) -> None:
    def sleep(verb: str, key: str) -> None:
        if verb == "replace" and key.startswith(f"m/{name}"):
            first.outbox.before = lambda verb, key: None
            first.inbox.abandon("processing/m.json")
            first.outbox.abandon("m")
            second.work()
            after.update(files(first.outbox))

    first, after = shop(), dict[str, str | None]()
    second = shop(at=first)
    first.drop("m", 2)
    first.outbox.before = sleep
    first.work()
    assert after == files(first.outbox)
    assert len(second.listener.of(ManifestEnded)) == 1
    assert first.listener.of(ManifestEnded) == []
    results = opened(first.outbox, ["p0", "p1"])
    assert results.find("p0").whole and results.find("p1").whole


# Records of other versions.


class Newer:
    """An outbox as a newer version sees it: its records have one more parameter, and another format."""

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def fetch(self, key: str, limit: int) -> tuple[bytes, str | None]:
        data, tag = self.store.fetch(key, limit)
        found = json.loads(data)
        found["parameters"].pop("brush", None)
        return json.dumps({**found, "format": 1}).encode(), tag

    def replace(self, key: str, data: bytes, seen: str | None) -> str:
        if key.endswith(".json"):
            found = json.loads(data)
            found["parameters"]["brush"] = 3
            data = json.dumps({**found, "format": 2}).encode()
        return self.store.replace(key, data, seen)


def compute_as_newer(task: Task) -> Outcome:
    digest = f"{task.pair.id} with a brush"
    if task.known == digest:
        return Unchanged(task)
    record = make_record(digest, f"{task.pair.id}.png", task.pair.id)
    return Finished(task, record, b"newer picture", b"log", {})


def test_two_versions_do_not_undo_each_other(shop: Make) -> None:
    older = shop()
    older.drop("m", 2)
    older.work()
    first = again(older, shop, before=compute_as_newer, view=Newer)
    assert computed(first) == ["p0", "p1"]  # it replaces what the older version did
    written = files(older.outbox)
    second = again(older, shop)
    problems = [event.problem for event in second.listener.of(Failed)]
    assert sorted(problem.id or "" for problem in problems) == ["p0", "p1"]
    assert "a newer version of this program wrote it" in problems[0].message
    assert {key: tag for key, tag in files(older.outbox).items() if key != "m/index.html"} == {
        key: tag for key, tag in written.items() if key != "m/index.html"
    }
    older.inbox.move("failed/m.json", "done/m.json")
    third = again(older, shop, before=compute_as_newer, view=Newer)
    assert computed(third) == [] and third.listener.of(Failed) == []
    assert len(third.listener.of(PairDone)) == 2


def test_a_newer_result_of_the_same_inputs_is_done_already(shop: Make) -> None:
    runner = shop()
    runner.drop("m")
    runner.work()
    Newer(runner.outbox).replace(
        "m/p0.json", runner.outbox.read("m/p0.json", LIMIT), runner.outbox.tag("m/p0.json")
    )
    other = again(runner, shop)
    assert [event.computed for event in other.listener.of(PairDone)] == [False]
    assert other.listener.of(Failed) == []


def test_an_edited_picture_is_reported_and_computed_again(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 2)
    runner.work()
    runner.outbox.write("m/p1.png", b"edited")
    other = again(runner, shop)
    assert computed(other) == ["p1"]
    assert runner.outbox.read("m/p1.edited.png", LIMIT) == b"edited"
    (warning,) = [note for note in other.listener.of(Note) if note.level == "warning"]
    assert "p1.edited.png" in warning.message


# Resuming.


def test_pairs_without_a_record_go_first(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 6)
    runner.work()
    for name in ("p3", "p5"):
        runner.outbox.remove(f"m/{name}.json")
    other = again(runner, shop)
    assert [task.pair.id for task in other.engine.tasks] == ["p0", "p3", "p5", "p1", "p2", "p4"]
    assert computed(other) == ["p3", "p5"]


def test_a_long_manifest_that_is_done_costs_a_few_requests_for_each_page(shop: Make) -> None:
    runner = shop()
    runner.drop("m", MANY)
    runner.work()
    before = files(runner.outbox)
    other = again(runner, shop)
    assert computed(other) == [] and len(other.listener.of(PairDone)) == MANY
    assert Counter(runner.outbox.calls) == Counter(
        [
            ("reserve", "m"),
            ("entries", "m"),
            ("read", "m/.origin.json"),
            *(("read", f"m/pages/{number:04}.json") for number in (1, 2, 3)),
            ("replace", "m/index.html"),
        ]
    )
    images = [call for call in runner.inbox.calls if call == ("entries", "") or call[1].endswith(".png")]
    assert images.count(("entries", "")) <= 3  # two scans, and the images
    assert len(images) <= 3
    changed = {key for key, tag in files(runner.outbox).items() if before.get(key) != tag}
    assert changed == {"m/index.html"}


def test_a_short_manifest_that_is_done_costs_a_read_for_each_record(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 40)
    runner.work()
    other = again(runner, shop)
    assert len(other.listener.of(PairDone)) == 40 and computed(other) == []
    counts = Counter(verb for verb, _ in runner.outbox.calls)
    assert counts == {"reserve": 1, "entries": 1, "read": 41, "replace": 1}  # one is the origin
    assert not [key for verb, key in runner.inbox.calls if key.endswith(".png")]


def test_a_changed_image_is_noticed_in_a_long_manifest(shop: Make) -> None:
    runner = shop()
    runner.drop("m", MANY)
    runner.work()
    runner.inbox.write("b.png", b"another style")
    assert len(computed(again(runner, shop))) == MANY


def test_a_changed_parameter_is_noticed_in_a_long_manifest(shop: Make) -> None:
    runner = shop()
    runner.drop("m", MANY)
    runner.work()
    manifest = json.loads(runner.inbox.read("done/m.json", LIMIT))
    manifest["pairs"][PAIRS + 1]["seed"] = 12345
    runner.inbox.write("done/m.json", json.dumps(manifest).encode())
    before = files(runner.outbox)
    assert computed(again(runner, shop)) == [f"p{PAIRS + 1}"]
    changed = {key for key, tag in files(runner.outbox).items() if before.get(key) != tag}
    pair = {f"m/p{PAIRS + 1}.{end}" for end in ("png", "json", "loss.jsonl")}
    assert changed == {*pair, "m/page-0002.html", "m/pages/0002.json", "m/index.html"}


@pytest.mark.parametrize("name", ["p3.png", "p3.loss.jsonl", "p3.json"])
def test_a_missing_file_is_noticed_in_a_long_manifest(shop: Make, name: str) -> None:
    runner = shop()
    runner.drop("m", MANY)
    runner.work()
    runner.outbox.remove(f"m/{name}")
    assert computed(again(runner, shop)) == ["p3"]


def test_a_record_that_was_replaced_is_read_and_not_taken_from_the_file_of_its_page(shop: Make) -> None:
    runner = shop()
    runner.drop("m", MANY)
    runner.work()
    record = runner.outbox.read("m/p3.json", LIMIT)
    runner.outbox.write("m/p3.json", record.replace(b'"input_digest": "', b'"input_digest": "0'))
    runner.outbox.write("m/p4.json", b"damaged")
    assert sorted(computed(again(runner, shop))) == ["p3", "p4"]


def test_old_listings_are_not_used(shop: Make) -> None:
    runner = shop()
    runner.drop("m", 40)
    runner.work()
    again(runner, shop, timing=replace(QUICK, listing=-1.0))
    assert runner.outbox.calls.count(("entries", "m")) == 41


def test_a_manifest_that_is_cancelled_before_its_first_pair_is_no_failure(shop: Make) -> None:
    runner = shop()

    def cancel(verb: str, key: str) -> None:
        if (verb, key) == ("entries", "m"):
            runner.outbox.before = lambda verb, key: None
            Inbox(runner.inbox).cancel("m")

    runner.outbox.before = cancel
    runner.drop("m", 3)
    runner.work()
    assert runner.listener.of(Failed) == []
    assert len(runner.listener.of(ManifestLeft)) == 1
    assert runner.owner.problems == 0
    assert runner.errors("m") == [{"message": "cancelled by hand"}]
