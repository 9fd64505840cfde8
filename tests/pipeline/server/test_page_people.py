"""The page for people with screen readers, with phones, and in light and dark."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipeline.events.listener import ManifestStarted
from tests.conftest import make_png
from tests.pipeline.server.browser import Visit
from tests.pipeline.server.conftest import Serve, Served
from tests.pipeline.server.test_manifests import manifest
from tests.pipeline.server.test_page_form import evaluated

NAMED = "button|link|textbox|slider|combobox|progressbar|img|region|dialog|navigation|group"
# The contrast of each visible text with what is behind it, as WCAG 2 defines it (the definition of "contrast
# ratio"), with the text itself.
CONTRASTS = """() => {
    const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
    const light = (color) => {
        const parts = numbers(color).slice(0, 3).map((c) => c / 255);
        const linear = parts.map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const behind = (element) => {
        for (let each = element; each; each = each.parentElement) {
            const [, , , alpha = 1] = numbers(getComputedStyle(each).backgroundColor);
            if (alpha === 1) return getComputedStyle(each).backgroundColor;
        }
    };
    const found = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE);
        const text = own.map((node) => node.data.trim()).join("");
        if (!text || !element.checkVisibility({ visibilityProperty: true })) continue;
        const [one, other] = [light(getComputedStyle(element).color), light(behind(element))];
        found.push([text, (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)]);
    }
    return found;
}"""


@pytest.fixture
def busy(serve: Serve) -> Served:
    """A door with a pair that runs, and with manifests that are done and have failed."""
    served = serve()
    served.stylize()
    served.inbox.write("failed/m.json", json.dumps(manifest(2)).encode())
    errors = [{"place": "pairs[0]", "message": "b.png: damaged; replace it", "id": "p0"}]
    served.inbox.write("failed/m.error.json", json.dumps({"errors": errors}).encode())
    served.hub.hear(ManifestStarted("running", 3))
    evaluated(served, "running", 20, "a-pair")
    return served


def views(page: Page) -> Any:
    """Show one view after the other."""
    expect(page.locator("#running li")).to_have_count(1)
    expect(page.locator("#wall li")).to_have_count(1)
    yield "home"
    page.goto("/#/manifests/failed")
    expect(page.locator("#list-items li")).to_have_count(1)
    yield "list"
    page.goto("/#/manifest/m")
    expect(page.locator("#manifest-error-list li")).to_have_count(1)
    yield "manifest"
    page.goto("/#/")
    page.locator(".tile").click()
    expect(page.locator("#viewer-facts div")).to_have_count(6)
    yield "viewer"


def test_all_that_can_be_used_has_a_name(busy: Served, visit: Visit) -> None:
    page = visit(busy)
    for view in views(page):
        snapshot = page.locator("body").aria_snapshot()
        unnamed = [line for line in snapshot.splitlines() if re.search(rf'- ({NAMED})(?! ")', line)]
        assert unnamed == [], view


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read_in_light_and_dark(busy: Served, visit: Visit, scheme: str) -> None:
    page = visit(busy, color_scheme=scheme, reduced_motion="reduce")
    for view in views(page):
        found = page.evaluate(CONTRASTS)
        assert len(found) > 5
        assert [(text, ratio) for text, ratio in found if ratio < 4.5] == [], view


@pytest.mark.parametrize("width", [320, 390])
def test_a_phone_does_not_scroll_sideways(busy: Served, visit: Visit, width: int) -> None:
    page = visit(busy, viewport={"width": width, "height": 700}, has_touch=True, is_mobile=True)
    for view in views(page):
        assert page.evaluate("document.scrollingElement.scrollWidth") <= width, view


def test_what_happens_is_said_to_screen_readers(busy: Served, visit: Visit) -> None:
    page = visit(busy, "/#/manifest/m")
    page.locator("#manifest-retry").click()
    expect(page.get_by_role("status").filter(has_text="It waits again.")).to_be_attached()
    expect(page.get_by_role("heading", name="m", exact=True)).to_be_focused()


def test_a_connection_that_is_lost_is_shown_and_found_again(serve: Serve, visit: Visit) -> None:
    served = serve(works=False)
    page = visit(served)
    expect(page.locator("#count-done")).to_have_text("0")
    page.route("**/events", lambda route: route.abort())
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_role("status").filter(has_text="The connection is lost.")).to_be_visible()
    page.unroute("**/events")
    expect(page.locator("#connection")).to_have_text("")


def test_a_notice_of_a_fault_that_is_over_is_taken_away(serve: Serve, visit: Visit) -> None:
    page = visit(serve(works=False))
    expect(page.locator("#count-done")).to_have_text("0")
    problem = json.dumps({"detail": "the store does not answer"})
    page.route(
        "**/results?*",
        lambda route: route.fulfill(status=503, content_type="application/problem+json", body=problem),
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#notice")).to_have_text("the store does not answer")
    page.unroute("**/results?*")
    with page.expect_event("requestfailed"):
        page.route("**/results?*", lambda route: route.abort())
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.unroute("**/results?*")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator("#notice")).to_be_hidden()


def test_focus_stays_where_it_is_when_an_earlier_pair_ends(serve: Serve, visit: Visit) -> None:
    served = serve(works=False)
    served.inbox.write("done/m.json", b"{}")
    for number in range(3):
        for file in (f"p{number}.png", f"p{number}.json"):
            served.outbox.write(f"m/{file}", b"{}")
    page = visit(served, "/#/manifest/m")
    focused = page.get_by_role("button", name="Show p2 large")
    focused.focus()
    page.evaluate("document.querySelector('#pairs li').classList.add('earlier')")
    served.outbox.write("m/p0.json", b"{ }")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".earlier")).to_have_count(0)
    expect(page.locator("#pairs li")).to_have_count(3)
    expect(focused).to_be_focused()


def test_the_link_to_the_content_keeps_the_view(serve: Serve, visit: Visit) -> None:
    page = visit(serve(works=False), "/#/manifest/m")
    page.get_by_role("link", name="Skip to the content").press("Enter")
    expect(page.locator("#main")).to_be_focused()
    assert page.url.endswith("/#/manifest/m")


def test_a_place_that_has_a_picture_keeps_its_name(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    page = visit(serve(works=False))
    photograph = tmp_path / "IMG_1.png"
    photograph.write_bytes(make_png())
    page.locator("#content").set_input_files(photograph)
    expect(page.locator("#content")).to_have_accessible_name("Photograph IMG_1.png")
