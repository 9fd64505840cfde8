"""A manifest that runners have died with: which pair is the cause, and what becomes of the others."""

import json
from collections.abc import Callable, Sequence

import pytest

from pipeline.engines.base import Task
from pipeline.errors import EngineLostError, StoreError, UnavailableError
from pipeline.events.listener import ManifestLeft, PairDone
from pipeline.stores.base import History
from tests.pipeline.work.conftest import Shop

Make = Callable[..., Shop]
LIMIT = 10**6
KEY = "processing/m.json"


def stop_at(shop: Make, first: Shop, pair: str) -> Shop:
    """A runner that is stopped when its engine begins with this pair."""

    def stop(task: Task) -> None:
        if task.pair.id == pair:
            runner.session.end_soon()
            raise StoreError("it did not get so far")

    runner: Shop = shop(at=first, before=stop)
    return runner


class Runners:
    """Runs one runner after the other at one inbox. A runner dies when a deadly pair is computed."""

    def __init__(
        self, shop: Make, deadly: set[str], batch: int = 1, bad: Sequence[str] = (), checks: bool = False
    ) -> None:
        """`bad` are pairs that fail and harm no runner. With `checks`, the deadly ones kill when checked."""
        self._shop, self._deadly, self._batch, self._bad, self._checks = shop, deadly, batch, bad, checks
        self.first: Shop = shop()
        self.deaths = 0
        self.done: list[str] = []  # pairs that were computed and published
        self.checked: list[str] = []  # pairs that were only compared with their results

    def start(self) -> Shop:
        """Run one runner until it has died or has nothing left to do."""
        runner: Shop = self._shop(at=self.first, before=self._compute, batch=self._batch)
        try:
            runner.work()
        except EngineLostError:
            self.deaths += 1
            self.first.inbox.abandon(KEY)  # the process has ended
            self.first.outbox.abandon("m")
        self.done += [event.record.id for event in runner.listener.of(PairDone) if event.computed]
        self.checked += [task.pair.id for task in runner.engine.tasks if task.check_only]
        return runner

    def start_until_all_ended(self) -> None:
        while self.first.manifests("") or self.first.manifests("processing"):
            assert self.deaths < 20
            self.start()

    def errors(self) -> dict[str, str]:
        """The messages of the pairs that have failed."""
        text = self.first.inbox.read("failed/m.error.json", LIMIT)
        return {error["id"]: error["message"] for error in json.loads(text)["errors"]}

    def _compute(self, task: Task) -> None:
        if task.pair.id in self._bad:
            raise StoreError("its image is bad")
        if task.pair.id in self._deadly and (self._checks or not task.check_only):
            raise EngineLostError("the runner has died")


def test_only_the_pair_that_kills_fails_after_three_deaths_and_the_others_are_done(shop: Make) -> None:
    runners = Runners(shop, {"p4"}, batch=2)
    runners.first.drop("m", 9)
    runners.start_until_all_ended()
    assert runners.deaths == 3
    (pair, message), *others = runners.errors().items()
    assert (pair, others) == ("p4", [])
    assert message.startswith("3 runners have died while they worked on this pair")
    assert sorted(runners.done) == [f"p{n}" for n in range(9) if n != 4]


@pytest.mark.parametrize("bad", [["p0"], ["p0", "p1", "p2"]])
def test_pairs_that_fail_before_the_one_that_kills_do_not_hide_it(shop: Make, bad: list[str]) -> None:
    runners = Runners(shop, {"p3"}, bad=bad)
    runners.first.drop("m", 5)
    runners.start_until_all_ended()
    assert runners.deaths == 3
    assert set(runners.errors()) == {*bad, "p3"}
    assert sorted(runners.done) == sorted({f"p{n}" for n in range(5)} - {*bad, "p3"})


@pytest.mark.parametrize("noted", ["", "p0"])
def test_a_pair_that_fails_is_no_progress_before_one_that_kills_when_it_is_checked(
    shop: Make, noted: str
) -> None:
    runners = Runners(shop, {"p1"}, bad=["p0"], checks=True)
    runners.first.drop("m", 2)
    claim = runners.first.inbox.claim("m.json", KEY)
    assert claim
    claim.note(History(pair=noted))  # one that is noted is computed without a check
    runners.first.inbox.abandon(KEY)
    runners.start_until_all_ended()
    assert runners.deaths == 2  # the third one was before
    text = runners.first.inbox.read("failed/m.error.json", LIMIT).decode()
    assert "3 runners in a row have died with it before any pair was done" in text


def test_a_pair_that_has_killed_a_runner_is_computed_before_any_other_is_noted(shop: Make) -> None:
    runners = Runners(shop, {"p2"})
    runners.first.drop("m", 5)
    while runners.deaths < 2:
        runners.start()
    third = runners.start()
    assert runners.deaths == 3
    # The engine checks several pairs at the same time. A check of another one could come back first.
    tasks = {(task.pair.id, task.alone, task.check_only) for task in third.engine.tasks}
    assert tasks == {("p2", True, False)}


def test_two_pairs_that_kill_are_both_found(shop: Make) -> None:
    runners = Runners(shop, {"p0", "p20"}, batch=2)
    runners.first.drop("m", 30)
    runners.start_until_all_ended()
    assert set(runners.errors()) == {"p0", "p20"}
    assert runners.deaths <= 6
    assert len(runners.done) == 28


def test_pairs_that_are_done_already_are_compared_and_not_blamed(shop: Make) -> None:
    runners = Runners(shop, set())
    runners.first.drop("m", 12)
    runners.start_until_all_ended()
    runners.first.inbox.move("done/m.json", "m.json")
    for _ in range(5):
        # A runner that dies while it goes through the pairs that are done.
        claim = runners.first.inbox.claim("m.json", KEY)
        assert claim
        claim.note(History(crashes=1))  # it has found one of them
        runners.first.inbox.abandon(KEY)
    runners.start_until_all_ended()
    assert runners.first.manifests("done") == ["m.json"]
    assert runners.checked == [f"p{n}" for n in range(12)]


def test_finding_a_pair_done_already_resets_the_count_of_deaths(shop: Make) -> None:
    runners = Runners(shop, set())
    runners.first.drop("m", 12)
    runners.start_until_all_ended()
    runners.first.inbox.move("done/m.json", "m.json")
    for _ in range(2):
        runners.first.die_with("m")
    stop_at(shop, runners.first, "p6").work()
    claim = runners.first.inbox.claim("m.json", KEY)
    assert claim and claim.history.crashes == 1


def test_a_done_pair_whose_image_has_changed_is_computed_alone(shop: Make) -> None:
    runners = Runners(shop, {"p3"})
    runners.first.drop("m", 3)
    runners.start_until_all_ended()
    listed = [{"id": f"p{n}", "content": "a.png", "style": "b.png", "seed": n + (n == 1)} for n in range(3)]
    runners.first.inbox.remove("done/m.json")
    runners.first.inbox.write("m.json", json.dumps({"pairs": listed}).encode())
    runners.first.die_with("m")
    last = runners.start()
    tasks = [
        (task.pair.id, "check" if task.check_only else "alone")
        for task in last.engine.tasks
        if task.alone or task.check_only
    ]
    assert sorted(tasks) == [("p0", "check"), ("p1", "alone"), ("p1", "check"), ("p2", "check")]
    assert len(tasks) == len(last.engine.tasks)
    assert runners.done[-1] == "p1"


def test_a_suspect_whose_images_are_out_of_reach_is_put_off_and_the_others_go_on(shop: Make) -> None:
    def out_of_reach(task: Task) -> None:
        if task.manifest == "m":
            raise UnavailableError("b.png: the folder is not mounted")

    runner = shop(before=out_of_reach)
    runner.drop("m", 3)
    runner.die_with("m")
    runner.drop("n", 2)
    runner.work()
    assert runner.manifests("done") == ["n.json"]
    assert runner.manifests("") == ["m.json"]
    (left,) = runner.listener.of(ManifestLeft)
    assert left.reason == "b.png: the folder is not mounted"
    claim = runner.inbox.claim("m.json", KEY)
    assert claim and claim.history == History(crashes=1)  # and no pair is noted


def test_a_death_after_a_pair_has_ended_is_not_counted_for_it(shop: Make) -> None:
    runners = Runners(shop, set())
    runners.first.drop("m", 3)
    runners.first.die_with("m")

    def die(verb: str, key: str) -> None:
        if (verb, key) == ("move_to", "done/m.json"):
            runners.first.inbox.abandon(KEY)
            assert runners.first.inbox.claim("m.json", KEY)  # another runner takes over, and dies as well

    runners.first.inbox.before = die
    runners.start()
    runners.first.inbox.abandon(KEY)
    claim = runners.first.inbox.claim("m.json", KEY)
    assert claim and claim.history.pair == ""


def test_a_hand_back_keeps_the_count_of_deaths(shop: Make) -> None:
    runners = Runners(shop, {"p8"})
    runners.first.drop("m", 9)
    for _ in range(3):
        if runners.first.manifests("failed"):
            break
        runners.start()
        # A node is drained: its runner is stopped before the pair is computed.
        stop_at(shop, runners.first, "p8").work()
    runners.start_until_all_ended()
    assert runners.deaths == 3
    assert set(runners.errors()) == {"p8"}


def test_a_manifest_that_kills_before_any_pair_is_not_even_read(shop: Make) -> None:
    runners = Runners(shop, set())
    runners.first.drop("m", 1)
    for _ in range(3):
        runners.first.die_with("m")
    runners.first.inbox.calls.clear()
    runners.start_until_all_ended()
    assert runners.first.manifests("failed") == ["m.error.json", "m.json"]
    reads = [call for call in runners.first.inbox.calls if call == ("read", KEY)]
    text = runners.first.inbox.read("failed/m.error.json", LIMIT).decode()
    assert "3 runners in a row have died with it before any pair was done" in text
    assert len(reads) <= 1  # for its priority


def test_a_retry_begins_with_an_empty_history(shop: Make) -> None:
    runners = Runners(shop, {"p0"})
    runners.first.drop("m", 2)
    runners.start_until_all_ended()
    assert set(runners.errors()) == {"p0"}
    runners.first.box.retry("m")
    harmless = Runners(shop, set())
    harmless.first = runners.first
    harmless.start_until_all_ended()
    assert harmless.done == ["p0"]
    assert runners.first.manifests("done") == ["m.json"]
