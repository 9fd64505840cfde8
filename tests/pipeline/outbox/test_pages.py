"""The pages of a long manifest: when they are written, what they contain, and what they leave in memory."""

import gc
import json
import weakref
from collections.abc import Sequence

import pytest

from pipeline.errors import ClaimLostError, Problem, StoreError, UnavailableError
from pipeline.outbox.pages import PAIRS, Kept, Pages
from pipeline.stores.base import Entry
from pipeline.stores.memory import MemoryStore
from tests.pipeline.outbox.made import LIMIT, make_record, opened
from tests.pipeline.outbox.test_page import Parsed

LONG = 2 * PAIRS + 10


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore("outbox")


def ids(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def kept(pair: str) -> Kept:
    return Kept(make_record(picture=f"{pair}.png", pair=pair), "v1")


def settle(pages: Pages, results: dict[str, Kept | Problem], reused: bool = False) -> list[int]:
    """Settle pairs, and write the pages that are complete; their numbers."""
    numbers = [pages.settle(result, reused) for result in results.values()]
    for number in filter(None, numbers):
        pages.put(number)
    return [number for number in numbers if number]


def finish(store: MemoryStore, pairs: Sequence[str], problems: Sequence[Problem] = ()) -> None:
    """Write all pages of a manifest."""
    pages = opened(store, pairs).pages
    failed = {problem.id: problem for problem in problems}
    settle(pages, {pair: failed.get(pair) or kept(pair) for pair in pairs})
    pages.put_index(problems)


def html(store: MemoryStore, name: str) -> Parsed:
    return Parsed(store.read(f"m/{name}", LIMIT).decode())


def names(store: MemoryStore) -> list[str]:
    return [key.removeprefix("m/") for key in store.glob("m/**/*")]


def test_a_short_manifest_has_one_page_only(store: MemoryStore) -> None:
    finish(store, ids(PAIRS))
    assert names(store) == ["index.html"]
    parsed = html(store, "index.html")
    assert len(parsed.all("article")) == PAIRS
    assert not parsed.all("nav")


def test_a_page_is_written_when_its_last_pair_has_settled_and_its_records_are_dropped(
    store: MemoryStore,
) -> None:
    pages, pairs = opened(store, ids(LONG)).pages, ids(LONG)
    first = kept(pairs[0])
    record = weakref.ref(first.record)
    # In any order, and with pairs of other pages in between.
    assert settle(pages, {pair: kept(pair) for pair in reversed(pairs[1 : PAIRS + 5])}) == []
    assert names(store) == []
    assert settle(pages, {pairs[0]: first}) == [1]
    assert names(store) == ["page-0001.html", "pages/0001.json"]
    del first
    gc.collect()
    assert record() is None
    assert settle(pages, {pair: kept(pair) for pair in pairs[PAIRS + 5 :]}) == [2, 3]
    pages.put_index([])
    assert names(store)[0] == "index.html"


def test_a_page_has_its_pairs_in_the_order_of_the_manifest_and_its_problems(store: MemoryStore) -> None:
    pages, pairs = opened(store, ids(LONG)).pages, ids(LONG)
    problem = Problem("pairs[3]", "a.png: no such file", "p3")
    settle(pages, {pair: problem if pair == "p3" else kept(pair) for pair in reversed(pairs)})
    parsed = html(store, "page-0001.html")
    headings = [text for place, text in parsed.texts if place == "h2"]
    assert headings == ["1 failed", *(pair for pair in pairs[:PAIRS] if pair != "p3")]
    assert parsed.text("h1") == "m, page 1 of 3"
    assert f"Done {PAIRS - 1} Failed 1" in parsed.text("totals")
    file = json.loads(store.read("m/pages/0001.json", LIMIT))
    assert [result["record"]["id"] for result in file["results"]] == headings[1:]


def test_the_contents_have_the_totals_the_first_problems_and_a_row_for_each_page(store: MemoryStore) -> None:
    problems = [Problem(f"pairs[{n}]", "no such file", f"p{n}") for n in range(PAIRS + 5, PAIRS + 30)]
    finish(store, ids(LONG), problems)
    parsed = html(store, "index.html")
    assert parsed.text("totals").startswith(f"Done {LONG - 25} Failed 25")
    assert "15 more are listed on the pages." in parsed.text("failures")
    assert len(parsed.all("code")) == 10
    assert len(parsed.all("tr")) == 4
    assert f"Page 2 p{PAIRS} – p{2 * PAIRS - 1} {PAIRS - 25} 25 5 min 38 s Page 3" in parsed.text("tbody")


def test_all_links_between_pages_lead_to_a_page(store: MemoryStore) -> None:
    finish(store, ids(LONG))
    pages = [name for name in names(store) if name.endswith(".html")]
    links = {
        page: [a["href"] for a in html(store, page).all("a") if a["href"].endswith(".html")] for page in pages
    }
    assert links["index.html"] == ["page-0001.html", "page-0001.html", "page-0002.html", "page-0003.html"]
    assert links["page-0001.html"] == ["index.html", "page-0002.html"]
    assert links["page-0002.html"] == ["index.html", "page-0001.html", "page-0003.html"]
    assert links["page-0003.html"] == ["index.html", "page-0002.html"]


@pytest.mark.parametrize("count", [5, PAIRS + 1])
def test_pages_that_a_longer_manifest_has_left_are_deleted(store: MemoryStore, count: int) -> None:
    finish(store, ids(LONG))
    finish(store, ids(count))
    several = [] if count == 5 else ["page-0001.html", "page-0002.html", "pages/0001.json", "pages/0002.json"]
    assert names(store) == ["index.html", *several]


def test_pages_are_deleted_completely_although_a_runner_dies_meanwhile(store: MemoryStore) -> None:
    finish(store, ids(LONG))

    def refuse(verb: str, key: str) -> None:
        if (verb, key) == ("remove", "m/page-0002.html"):
            raise StoreError("dies")

    store.before = refuse
    with pytest.raises(UnavailableError):
        finish(store, ids(5))
    store.before = lambda verb, key: None
    finish(store, ids(5))
    assert names(store) == ["index.html"]


def reuse(store: MemoryStore, pairs: Sequence[str]) -> list[str]:
    """Settle all pairs from the files of the pages; the names that were written, except the index."""
    pages = opened(store, pairs).pages
    store.calls.clear()
    for pair in pairs:
        found = pages.look_up(pair, Entry(f"{pair}.json", 1, "v1", 0, 0, "v1"))
        settle(pages, {pair: (found and found.kept) or kept(pair)}, reused=bool(found and found.reused))
    return [key for verb, key in store.calls if verb == "replace"]


def test_a_page_of_unchanged_records_is_not_written_again(store: MemoryStore) -> None:
    finish(store, ids(LONG))
    assert reuse(store, ids(LONG)) == []


def test_all_pages_are_written_again_when_there_are_more_of_them(store: MemoryStore) -> None:
    finish(store, ids(LONG))
    written = reuse(store, ids(LONG + PAIRS))
    assert [key for key in written if key.endswith(".html")] == [f"m/page-000{n}.html" for n in range(1, 5)]


def test_a_page_with_other_pairs_is_written_again(store: MemoryStore) -> None:
    finish(store, ids(LONG))
    assert "m/page-0001.html" in reuse(store, ["new", *ids(LONG - 1)])


def test_a_page_of_which_a_pair_had_failed_is_written_again(store: MemoryStore) -> None:
    finish(store, ids(LONG), [Problem("pairs[3]", "no such file", "p3")])
    assert reuse(store, ids(LONG)) == ["m/page-0001.html", "m/pages/0001.json"]


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[]", b'{"format": 2, "results": []}', b'{"format": 1, "pages": 3, "results": [7]}']
)
def test_a_file_of_a_page_that_cannot_be_understood_is_replaced(store: MemoryStore, text: bytes) -> None:
    finish(store, ids(LONG))
    store.write("m/pages/0001.json", text)
    assert reuse(store, ids(LONG)) == ["m/page-0001.html", "m/pages/0001.json"]


def test_a_record_without_a_tag_is_on_the_page_but_not_in_its_file(store: MemoryStore) -> None:
    pages, pairs = opened(store, ids(LONG)).pages, ids(LONG)
    settle(pages, {pair: Kept(kept(pair).record, None if pair == "p1" else "v1") for pair in pairs})
    assert b"<h2>p1</h2>" in store.read("m/page-0001.html", LIMIT)
    assert len(json.loads(store.read("m/pages/0001.json", LIMIT))["results"]) == PAIRS - 1


def test_a_page_can_be_written_again_after_a_fault(store: MemoryStore) -> None:
    def fail_once(verb: str, key: str) -> None:
        if key == "m/pages/0001.json":
            store.before = lambda verb, key: None
            raise StoreError("outbox: access is denied")

    pages = opened(store, ids(LONG)).pages
    for pair in ids(PAIRS):
        pages.settle(kept(pair))
    store.before = fail_once
    with pytest.raises(UnavailableError):
        pages.put(1)
    pages.put(1)
    assert len(json.loads(store.read("m/pages/0001.json", LIMIT))["results"]) == PAIRS


def test_a_late_page_replaces_nothing(store: MemoryStore) -> None:
    def lose(verb: str, key: str) -> None:
        if verb == "replace":
            store.before = lambda verb, key: None
            finish(store, ids(LONG), [Problem("pairs[3]", "no such file", "p3")])
            lost.append(True)

    def confirm_unless_lost() -> None:
        if lost:
            raise ClaimLostError("another runner has taken over")

    lost: list[bool] = []
    pages = opened(store, ids(LONG), confirm_unless_lost).pages
    for pair in ids(PAIRS):
        pages.settle(kept(pair))
    store.before = lose
    with pytest.raises(ClaimLostError):
        pages.put(1)
    assert "1 failed" in html(store, "page-0001.html").text("failures")
