"""Chromium for the tests of the page. Each test has a window of its own profile."""

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.pipeline.server.conftest import Served

Visit = Callable[..., "Page"]

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
_PATIENCE = 30_000  # milliseconds: other tests may use the same processors


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A browser for one module: playwright keeps an event loop in this thread while it is open."""
    from playwright.sync_api import expect, sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("there is no Chromium; install it, with Debian by: apt-get install chromium")
    expect.set_options(timeout=_PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: "Browser") -> Iterator[Visit]:
    """A function that opens the page of a door; its options are those of a context of playwright.

    At the end of the test, no script has failed, and nothing was loaded from another host.
    """
    faults: list[str] = []
    contexts = []

    def open_page(served: "Served", address: str = "/", **options: Any) -> "Page":
        context = chromium.new_context(base_url=f"http://127.0.0.1:{served.port}", **options)
        contexts.append(context)
        context.set_default_timeout(_PATIENCE)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda m: faults.append(m.text) if "Security Policy" in m.text else None)
        own = (f"http://127.0.0.1:{served.port}/", f"blob:http://127.0.0.1:{served.port}/")
        page.on("request", lambda r: None if r.url.startswith(own) else faults.append(r.url))
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []
