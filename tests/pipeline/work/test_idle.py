"""When a runner scans and ends: while a file grows or manifests go on coming, and by a schedule."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from pipeline.engines.fake import FakeEngine
from pipeline.inbox.inbox import Inbox
from pipeline.inbox.triggers import Schedule, Trigger
from pipeline.outbox.outbox import Outbox
from pipeline.work.watch import Watch
from tests.pipeline.work.conftest import QUICK, Shop

UPLOADS = 5


class Uploads(Trigger):
    """With each call of `collect`, one more manifest is there. `open` counts those that are not done then."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._names, self.open = shop, [f"m{number}" for number in range(UPLOADS)], list[int]()

    @property
    def pending(self) -> bool:
        return True

    def collect(self) -> bool:
        self.open.append(len(self._shop.manifests("")) + len(self._shop.manifests("processing")))
        if not self._names:
            return False
        self._shop.drop(self._names.pop(0))
        return True


def test_uploads_that_do_not_cease_are_worked_on(shop: Callable[..., Shop]) -> None:
    runner = shop()
    trigger = Uploads(runner)
    engine = FakeEngine(runner.stores)
    watch = Watch(
        Inbox(runner.inbox), engine, Outbox(runner.outbox), runner.stores, [], trigger, runner.session
    )
    assert watch.run(once=False, schedule=None, idle=0.0) == 0
    assert len(runner.manifests("done")) == UPLOADS
    assert trigger.open == [0] * (UPLOADS + 1)


class Growing(Trigger):
    """After each scan, a file of the inbox has grown, which is an event; at last it is complete."""

    def __init__(self, shop: Shop) -> None:
        self._shop, self._left, self.scans = shop, UPLOADS, 0

    def seen(self, names: set[str]) -> None:
        self.scans += 1
        if self._left:
            self._left -= 1
            self._shop.inbox.write("m.json", b'{"pairs": [')
        elif "m" in names:
            self._shop.drop("m")
        self._shop.session.wake.set()


class Waits(threading.Event):
    """Has for how many seconds it was waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = list[float]()

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        return super().wait(timeout)


def test_a_file_that_grows_is_not_scanned_at_each_of_its_events(shop: Callable[..., Shop]) -> None:
    runner = shop(timing=replace(QUICK, settled=0.0, unfinished=3600.0, scan_settling=0.01))
    runner.inbox.atomic = False
    runner.inbox.write("m.json", b'{"pairs": [')
    runner.session.stop = stop = Waits()
    trigger = Growing(runner)
    inbox, outbox = Inbox(runner.inbox, runner.timing), Outbox(runner.outbox)
    watch = Watch(inbox, FakeEngine(runner.stores), outbox, runner.stores, [], trigger, runner.session)
    assert watch.run(once=True, schedule=None) == 0
    assert runner.manifests("done") == ["m.json"]
    assert stop.seconds.count(0.01) == UPLOADS + 1


class AtOnce(Schedule):
    """Is due at once, `times` times, and then stops the runner. `done` has what was done before each time."""

    def __init__(self, shop: Shop, times: int) -> None:
        super().__init__("0 2 * * *")
        self._shop, self._times, self.done = shop, times, list[int]()

    def wait(self, stop: threading.Event) -> None:
        self.done.append(len(self._shop.manifests("done")))
        if len(self.done) > self._times:
            self._shop.session.end_soon()
        else:
            self._shop.drop(f"m{len(self.done)}")


@pytest.mark.parametrize(("once", "times", "done"), [(True, 1, [0]), (False, 3, [0, 1, 2, 3])])
def test_a_runner_with_a_schedule_works_at_its_times_only(
    shop: Callable[..., Shop], once: bool, times: int, done: list[int]
) -> None:
    runner = shop()
    schedule = AtOnce(runner, times)
    inbox, outbox = Inbox(runner.inbox), Outbox(runner.outbox)
    watch = Watch(inbox, FakeEngine(runner.stores), outbox, runner.stores, [], Trigger(), runner.session)
    assert watch.run(once=once, schedule=schedule) == 0
    assert schedule.done == done
    assert len(runner.manifests("done")) == times


def test_the_work_ends_although_the_engine_has_no_machine_if_nothing_is_left_to_do(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = shop()
    monkeypatch.setattr(runner.engine, "wanted", lambda: 0)
    thread = runner.in_background()
    thread.join(60)
    assert not thread.is_alive()


def test_work_that_waits_for_a_machine_of_the_engine_is_done_once_there_is_one(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = shop()
    find_wanted, tries = runner.engine.wanted, iter(range(3))

    def wanted() -> int:
        if next(tries, None) is None:
            return find_wanted()
        runner.session.changed.set()  # as an engine does whose machines come and go
        return 0

    monkeypatch.setattr(runner.engine, "wanted", wanted)
    runner.drop("m")
    runner.work()
    assert runner.manifests("done") == ["m.json"]
