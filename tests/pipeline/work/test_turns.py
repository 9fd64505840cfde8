from pathlib import Path

import pytest

from nst import Parameters
from pipeline.manifest.models import Pair
from pipeline.stores.folder import FolderStore
from pipeline.stores.sources import Sources
from pipeline.work.job import Job
from pipeline.work.turns import MOST_OPEN, Turns


def job(name: str, pairs: int, priority: int = 0) -> Job:
    pair = Pair(id="p", place="", content="a.png", styles=(), parameters=Parameters())
    return Job(name, [pair] * pairs, Sources(FolderStore(Path())), priority)


def given(turns: Turns, count: int, length: int = 1) -> str:
    """Take the next pairs; the names of their jobs."""
    names = ""
    for _ in range(count):
        if found := turns.next(length):
            found.next_pair()
            names += found.name
    return names


def test_open_jobs_take_turns() -> None:
    turns = Turns()
    for name in "abc":
        turns.open(job(name, 3), length=0)
    assert given(turns, 20) == "abcabcabc"


def test_a_turn_lasts_for_a_batch_or_until_the_job_has_no_more_pairs() -> None:
    turns = Turns()
    for name, pairs in (("a", 5), ("b", 1), ("c", 4)):
        turns.open(job(name, pairs), length=0)
    assert given(turns, 20, length=2) == "aabccaacca"


def test_a_job_of_higher_priority_gives_all_its_pairs_first() -> None:
    turns = Turns()
    turns.open(job("a", 3), length=1)
    assert given(turns, 1) == "a"
    assert turns.admits(1)
    turns.open(job("b", 2, priority=1), length=1)
    assert not turns.admits(0)
    assert given(turns, 20) == "bbaa"


def test_a_new_job_gets_the_next_turn_but_at_most_every_second_turn_goes_to_a_new_job() -> None:
    turns = Turns()
    turns.open(job("a", 9), length=1)
    order = ""
    for name in "bcdefgh":
        while not turns.admits(0):
            order += given(turns, 1)
        turns.open(job(name, 1), length=1)
        order += given(turns, 1)
    assert order == "aabacadaeafagah"[: len(order)]


def test_the_number_of_open_jobs_of_one_priority_is_limited() -> None:
    turns = Turns()
    for number in range(MOST_OPEN):
        assert turns.admits(0) or given(turns, 1)
        turns.open(job(f"{number}", 100), length=1)
    given(turns, 2)
    assert not turns.admits(0)
    assert turns.admits(1)


@pytest.mark.parametrize("ended", [True, False])
def test_an_ended_job_gives_no_pairs(ended: bool) -> None:
    turns, only = Turns(), job("a", 2)
    turns.open(only, length=1)
    only.ended = ended
    assert given(turns, 9) == ("" if ended else "aa")


def test_closing_all_returns_the_jobs_with_pairs_left() -> None:
    turns, small, large = Turns(), job("a", 1), job("b", 2)
    for each in (small, large):
        turns.open(each, length=1)
        given(turns, 1)
    assert turns.close_all() == [large]
    assert turns.next(1) is None


def test_small_manifests_share_a_first_turn() -> None:
    turns = Turns()
    turns.open(job("a", 99), length=4)
    order, names = given(turns, 8, length=4), iter("bcdefghijk")
    for _ in range(12):
        if turns.admits(0):
            turns.open(job(next(names), 1), length=4)
        order += given(turns, 1, length=4)
    assert order == "aaaaaaaabcdeaaaafghi"
