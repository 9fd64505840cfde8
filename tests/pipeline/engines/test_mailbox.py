"""What an actor reports to its owner, and when."""

import threading

from nst.result import Evaluation, Losses
from pipeline.engines.base import Task, Unchanged
from pipeline.engines.mailbox import Mailbox, Needs, Report
from pipeline.events.listener import BatchBegan, Evaluated, TileComputed
from tests.pipeline.engines.test_dispatch import task


def evaluated(step: int, pair: str = "p") -> Evaluated:
    losses = Losses(content=1.0, style=1.0, tv=0.0, total=2.0)
    return Evaluated("m", pair, Evaluation(step=step, steps=9, scale=32, losses=losses, seconds=0.1))


def test_of_the_evaluations_of_a_pair_the_first_and_the_newest_are_reported() -> None:
    mailbox = Mailbox(Needs, every=3600)
    for step in (1, 2, 3):
        mailbox.hear(evaluated(step))
    mailbox.hear(evaluated(1, "q"))
    mailbox.hear(BatchBegan(2))  # not held back, and it takes the others along
    assert mailbox.fetch().events == [evaluated(1), evaluated(1, "q"), BatchBegan(2), evaluated(3)]


def test_of_the_tiles_between_two_reports_one_is_reported() -> None:
    mailbox = Mailbox(Needs, every=0.0)
    for _ in range(2):
        for _ in range(3):
            mailbox.hear(TileComputed())
        assert mailbox.fetch().events == [TileComputed()]


def test_evaluations_alone_are_reported_after_a_while() -> None:
    mailbox = Mailbox(Needs, every=0.0)
    mailbox.hear(evaluated(2))
    assert mailbox.fetch().events == [evaluated(2)]


def test_a_report_waits_until_the_engine_needs_something_else_than_before() -> None:
    needs = [Needs(0, 2, 1)]
    mailbox = Mailbox(lambda: needs[0], every=3600)
    mailbox.change()
    assert mailbox.fetch().needs == Needs(0, 2, 1)
    found: list[Report] = []
    thread = threading.Thread(target=lambda: found.append(mailbox.fetch()), daemon=True)
    thread.start()
    mailbox.change()  # nothing is different
    needs[0] = Needs(2, 0, 1)
    mailbox.change()
    thread.join(60)
    assert [report.needs for report in found] == [Needs(2, 0, 1)]


def test_outcomes_wait_while_the_owner_fetches_none() -> None:
    mailbox, listed = Mailbox(Needs, every=3600), [task(n) for n in range(40)]
    thread = threading.Thread(target=put, args=[mailbox, listed], daemon=True)
    thread.start()
    fetched: list[int] = []
    ended = False
    while not ended:
        report = mailbox.fetch()
        assert len(report.outcomes) <= 16
        fetched += [outcome.task.number for outcome in report.outcomes]
        ended = report.ended
    assert fetched == list(range(40))


def put(mailbox: Mailbox, listed: list[Task]) -> None:
    for each in listed:
        mailbox.put(Unchanged(each))
    mailbox.end()
