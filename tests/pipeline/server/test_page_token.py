"""The page of a door that wants a token."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pipeline.settings import Settings
from tests.pipeline.server.browser import Visit
from tests.pipeline.server.conftest import FORM, Serve, Served
from tests.pipeline.server.test_page_form import make

TOKEN = "correct-horse-battery"


@pytest.fixture
def guarded(serve: Serve, tmp_path: Path) -> Served:
    (tmp_path / "token").write_text(TOKEN)
    return serve(settings=Settings(port=0, token_file=str(tmp_path / "token")))


def enter(page: Page, token: str) -> None:
    page.get_by_label("Token of this server").fill(token)
    page.get_by_role("button", name="Open").click()


def test_the_token_is_asked_for_a_wrong_one_is_refused_and_the_right_one_opens(
    guarded: Served, visit: Visit, tmp_path: Path
) -> None:
    page = visit(guarded)
    expect(page.get_by_label("Token of this server")).to_be_focused()
    expect(page.locator("#app")).to_be_hidden()
    for wrong in ("wrong", "ключ", TOKEN + "x"):
        enter(page, wrong)
        expect(page.get_by_role("alert")).to_have_text("This is not the token of this server.")
        expect(page.locator("#app")).to_be_hidden()
        page.get_by_label("Token of this server").fill("")
        page.evaluate("document.getElementById('token-error').textContent = ''")
    enter(page, TOKEN)
    expect(page.locator("#count-done")).to_have_text("0")
    expect(page.get_by_label("Token of this server")).to_be_hidden()
    make(page, tmp_path)
    expect(page.locator("#job-state")).to_have_text("Done.")
    expect(page.get_by_alt_text("Your picture")).to_have_js_property("naturalWidth", 32)
    expect(page.locator("#wall img")).to_have_js_property("naturalWidth", 32)
    expect(page.locator("#wall img")).to_have_attribute("src", re.compile("^blob:"))


def test_the_token_stays_until_the_tab_is_closed(guarded: Served, visit: Visit) -> None:
    page = visit(guarded)
    enter(page, TOKEN)
    expect(page.locator("#count-done")).to_have_text("0")
    page.reload()
    expect(page.locator("#count-done")).to_have_text("0")
    other = page.context.new_page()
    other.goto("/")
    expect(other.get_by_label("Token of this server")).to_be_visible()
    assert page.evaluate("[document.cookie, localStorage.length]") == ["", 0]


def test_another_token_is_asked_for_when_the_operator_has_changed_it(guarded: Served, visit: Visit) -> None:
    page = visit(guarded)
    enter(page, TOKEN)
    expect(page.locator("#count-done")).to_have_text("0")
    page.evaluate("sessionStorage.setItem('nst-token', 'an-older-token-than-that')")
    page.get_by_role("link", name="0 done").click()
    expect(page.get_by_role("alert").filter(has_text="another token")).to_be_visible()
    enter(page, TOKEN)
    expect(page.get_by_role("heading", name="Done: 0")).to_be_visible()


def test_pictures_that_are_shown_are_freed(guarded: Served, visit: Visit) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    for _ in range(3):
        assert guarded.client.post("/stylize", files=FORM, headers=headers).status_code == 200
    page = visit(guarded)
    page.evaluate(
        """() => {
            const kept = new Set();
            const count = () => (document.body.kept = kept.size);
            const [make, free] = [URL.createObjectURL, URL.revokeObjectURL];
            URL.createObjectURL = (blob) => {
                const made = make(blob);
                kept.add(made);
                count();
                return made;
            };
            URL.revokeObjectURL = (address) => { kept.delete(address); count(); free(address); };
        }"""
    )
    enter(page, TOKEN)
    for place in range(3):
        image = page.locator("#wall img").nth(place)
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("naturalWidth", 32)
    page.locator(".tile").first.click()
    expect(page.locator("#viewer-save")).to_have_attribute("href", re.compile("^blob:"))
    page.keyboard.press("Escape")
    expect(page.locator("body")).to_have_js_property("kept", 0)
