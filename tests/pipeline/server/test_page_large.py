"""The page with many manifests, many pairs and many events: what it shows and what it asks for stay small."""

from collections import Counter
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from pipeline.events.listener import ManifestStarted, PairDone
from pipeline.outbox.record import read_record
from tests.pipeline.server.browser import Visit
from tests.pipeline.server.conftest import QUICK, Gate, Serve, Served
from tests.pipeline.server.test_manifests import manifest, upload_images
from tests.pipeline.server.test_page_form import evaluated

MANIFESTS, PAIRS = 20_000, 10_000
ELEMENTS = 1500  # at most, in the whole document


def elements(page: Page) -> int:
    count: int = page.evaluate("document.querySelectorAll('*').length")
    return count


def counted(page: Page) -> Counter[str]:
    """The requests of a page from now on, by the last word of their paths."""
    found: Counter[str] = Counter()
    page.on("request", lambda request: found.update([urlsplit(request.url).path.rpartition("/")[2]]))
    return found


def test_many_manifests_are_shown_in_parts(serve: Serve, visit: Visit) -> None:
    served = serve(works=False, timing=replace(QUICK, listed_bucket=60.0))
    for number in range(MANIFESTS):
        served.inbox.write(f"done/m{number:05}.json", b"{}")
    page = visit(served)
    expect(page.locator("#count-done")).to_have_text("20,000")
    page.get_by_role("link", name="20,000 done").click()
    for first in ("m00000", "m00100", "m00200"):
        expect(page.locator("#list-items a").first).to_have_text(first)
        expect(page.locator("#list-items a")).to_have_count(100)
        page.get_by_role("button", name="Next").click()
    expect(page.locator("#list-items a").first).to_have_text("m00300")
    page.get_by_role("button", name="Previous").click()
    expect(page.locator("#list-items a").first).to_have_text("m00200")
    assert elements(page) < ELEMENTS


def test_many_pairs_are_shown_in_parts(serve: Serve, visit: Visit, gate: Gate) -> None:
    served = serve(before=gate)
    upload_images(served)
    assert served.client.put("/manifests/m", json=manifest(PAIRS)).status_code == 201
    assert gate.reached.wait(60)
    page = visit(served, "/#/manifest/m")
    expect(page.locator("#manifest-text")).to_contain_text("0 of 10,000 pairs")
    expect(page.get_by_role("heading", name="p0", exact=True)).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_role("heading", name="p48", exact=True)).to_be_visible()
    expect(page.locator("#pairs li")).to_have_count(48)
    assert elements(page) < ELEMENTS
    served.client.delete("/manifests/m")


def test_many_events_cause_few_requests_and_no_growing_page(serve: Serve, visit: Visit, gate: Gate) -> None:
    served = serve(before=gate)
    served.stylize(headers={"Prefer": "respond-async"})
    assert gate.reached.wait(60)
    gate.opened.set()
    page = visit(served)
    expect(page.locator("#wall li")).to_have_count(1)
    key = next(key for key in served.outbox.glob("**") if key.endswith("/picture.json"))
    record = read_record(served.outbox.read(key, 10**6)).record
    assert record
    asked = counted(page)
    served.hub.hear(ManifestStarted("m", 3000))
    for number in range(2000):
        evaluated(served, "m", 1, f"p{number}")
        if number >= 50:
            served.hub.hear(PairDone("m", record.model_copy(update={"id": f"p{number - 50}"}), True))
    expect(page.locator("#whole-text")).to_contain_text("1,950 of 3,000 pairs")
    expect(page.locator("#running li")).to_have_count(12)
    expect(page.locator("#running-more")).to_have_text("38 more pairs at the same time.")
    asked.pop("preview", None)
    assert asked.total() < 60
    assert max(asked.values()) < 20
    assert elements(page) < ELEMENTS


@pytest.fixture
def at_rest(serve: Serve, visit: Visit, gate: Gate) -> tuple[Served, Page]:
    """A door on which 20 pairs run, and a page whose clock stands still."""
    served = serve(before=gate)
    served.hub.hear(ManifestStarted("m", 20))
    for number in range(20):
        evaluated(served, "m", 1, f"p{number}")
    page = visit(served, viewport={"width": 1400, "height": 3000})
    page.clock.install()
    page.reload()
    expect(page.locator("#running li")).to_have_count(12)
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 5"))
    return served, page


def test_previews_are_asked_for_every_two_seconds_for_eight_pairs_at_once(
    at_rest: tuple[Served, Page],
) -> None:
    _, page = at_rest
    expect(page.locator("#running li").last).to_be_in_viewport()
    page.evaluate(
        """() => {
            const load = window.fetch;
            window.asked = [];
            window.fetch = (path, options) => path.endsWith("/preview")
                ? new Promise((resolve) => asked.push({ path, answer: () => resolve(new Response()) }))
                : load(path, options);
        }"""
    )
    first: list[str] = []
    for _ in range(100):  # the browser says in its own time which pairs are on the screen
        page.clock.run_for(2000)
        first = page.evaluate("asked.map((each) => each.path)")
        if len(first) >= 8:
            break
    page.clock.run_for(20_000)
    first = page.evaluate("asked.map((each) => each.path)")
    assert len(set(first)) == len(first) == 8
    page.evaluate("asked.splice(0).forEach((each) => each.answer())")
    page.clock.run_for(2000)
    second: list[str] = page.evaluate("asked.map((each) => each.path)")
    assert len(second) == 8
    assert len({*first, *second}) == 12  # they take turns


def test_nothing_is_asked_for_while_nobody_sees_the_page(at_rest: tuple[Served, Page]) -> None:
    _, page = at_rest
    asked = counted(page)
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
            window.away = true;
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    page.clock.run_for(120_000)
    assert asked.total() == 0
    with page.expect_request("**/events"):
        page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")


def test_what_is_read_again_after_events_is_not_read_too_often(serve: Serve, visit: Visit) -> None:
    page = visit(serve(works=False))
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 5"))
    page.evaluate(
        """async () => {
            const { Pace } = await import("/static/pace.js");
            window.calls = 0;
            window.pace = new Pace(async () => void (calls += 1), 1000, 5000);
        }"""
    )
    for _ in range(10):
        page.evaluate("pace.soon()")
        page.clock.run_for(90)
    assert page.evaluate("calls") == 1
    page.clock.run_for(200)
    assert page.evaluate("calls") == 2  # what was asked for meanwhile, once
    page.clock.run_for(5000)
    assert page.evaluate("calls") == 3


def test_the_time_left_follows_from_what_was_done_in_the_last_while(serve: Serve, visit: Visit) -> None:
    page = visit(serve(works=False))
    found = page.evaluate(
        """async () => {
            const { Rate } = await import("/static/rate.js");
            const [steady, faster, new_, again] = [new Rate(60), new Rate(60), new Rate(), new Rate()];
            for (let at = 0; at <= 100; at += 1) steady.add(at, 2 * at);
            for (let at = 0; at <= 200; at += 1) faster.add(at, at < 100 ? at : 100 + 4 * (at - 100));
            new_.add(0, 0);
            again.add(0, 50);
            again.add(1, 0);
            again.add(11, 10);
            return [steady.left(100, 300), steady.left(110, 300), faster.left(200, 900), new_.left(0, 10),
                    again.left(11, 20)];
        }"""
    )
    assert found == [50, 40, 100, None, 10]
