"""The view of one manifest, in a real browser: its pairs, its errors, and what a person does about them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pipeline.engines.base import Failed, Outcome, Task
from pipeline.errors import Problem
from pipeline.events.listener import ManifestEnded, ManifestStarted
from pipeline.settings import Settings
from tests.pipeline.server.browser import Visit
from tests.pipeline.server.conftest import QUICK, Gate, Serve, Served
from tests.pipeline.server.test_manifests import manifest, upload_images
from tests.pipeline.server.test_page_form import evaluated
from tests.pipeline.server.test_page_token import enter

REMEDY = "b.png: damaged or truncated; replace it with a whole file"
HTML = '<b>bold<img src=x onerror="document.title=1">'  # a file name may have all but a slash


def put(served: Served, name: str, document: dict[str, Any]) -> None:
    upload_images(served)
    assert served.client.put(f"/manifests/{name}", json=document).status_code == 201


def ended(served: Served, name: str, problems: int = 0) -> None:
    served.listener.wait_for(ManifestEnded, lambda e: (e.manifest, e.problems) == (name, problems))


def button(page: Page, name: str) -> Any:
    return page.locator("#manifest").get_by_role("button", name=name, exact=True)


def test_a_failed_pair_shows_its_message_and_is_retried(serve: Serve, visit: Visit) -> None:
    problems = [Problem("pairs[1]", REMEDY, "p1")]

    def before(task: Task) -> Outcome | None:
        return Failed(task, problems.pop()) if task.pair.id == "p1" and problems else None

    served = serve(before=before)
    put(served, "m", manifest(3))
    ended(served, "m", problems=1)
    page = visit(served)
    page.get_by_role("link", name="1 failed").click()
    expect(page.get_by_role("heading", name="Failed: 1")).to_be_focused()
    page.locator("#list-items").get_by_role("link", name="m").click()
    expect(page.get_by_role("heading", name="m", exact=True)).to_be_focused()
    expect(page.locator("#manifest-state")).to_have_text("Failed")
    errors = page.get_by_role("region", name="1 error")
    expect(errors).to_contain_text(f"p1 pairs[1]{REMEDY}")
    expect(errors).to_contain_text("then retry")
    expect(page.locator("#pairs li")).to_have_count(3)
    page.get_by_role("button", name="Failed 1").click()
    expect(page.locator("#pairs li")).to_have_count(1)
    expect(page.locator("#pairs li")).to_contain_text(REMEDY)
    button(page, "Retry").click()
    expect(page.locator("#manifest-state")).to_have_text("Done")
    expect(errors).to_be_hidden()
    expect(button(page, "Retry")).to_be_hidden()
    expect(page.locator("#count-failed")).to_have_text("0")


def test_a_manifest_that_is_worked_on_shows_its_progress_and_is_cancelled(serve: Serve, visit: Visit) -> None:
    gate = Gate()
    served = serve(before=lambda task: gate(task) if task.pair.id == "p1" else None)
    put(served, "m", manifest(4))
    assert gate.reached.wait(60)
    page = visit(served, "/#/manifest/m")
    expect(page.locator("#manifest-text")).to_contain_text("1 of 4 pairs")
    evaluated(served, "m", 1, "p1")
    evaluated(served, "m", 100, "p1")
    expect(page.locator("#pairs .running progress")).to_have_js_property("value", 0.5)
    expect(page.locator("#manifest-bar")).to_have_js_property("value", 1.5 / 4)
    expect(page.locator("#pairs .waiting")).to_have_count(2)
    button(page, "Cancel").click()
    expect(page.locator("#manifest-state")).to_have_text("Failed")
    expect(page.get_by_role("region", name="Cancelled")).to_contain_text("Retry to work on it again")
    gate.opened.set()


def test_a_manifest_that_waits_is_cancelled_and_retried(serve: Serve, visit: Visit) -> None:
    served = serve(works=False)
    put(served, "m", manifest(2))
    page = visit(served, "/#/manifest/m")
    expect(page.locator("#manifest-state")).to_have_text("Waiting")
    expect(page.locator("#pairs .waiting")).to_have_count(2)
    button(page, "Cancel").click()
    expect(page.locator("#manifest-state")).to_have_text("Failed")
    button(page, "Retry").click()
    expect(page.locator("#manifest-state")).to_have_text("Waiting")


def test_a_pair_that_is_done_shows_its_picture_and_its_loss_curve(served: Served, visit: Visit) -> None:
    put(served, "m", manifest(2))
    ended(served, "m")
    record = json.loads(served.outbox.read("m/p1.json", 10**6))
    record["curve"] = [[1, 1000.0], [10, None], [20, 10.0]]
    served.outbox.write("m/p1.json", json.dumps(record).encode())
    page = visit(served, "/#/manifest/m")
    expect(page.get_by_role("img", name="Total loss from 1,000 to 10.00 in 20 evaluations")).to_be_visible()
    expect(page.get_by_alt_text("p1")).to_have_js_property("naturalWidth", 32)
    page.get_by_role("button", name="Show p1 large").click()
    viewer = page.get_by_role("dialog", name="p1")
    expect(viewer.locator("#viewer-picture")).to_have_attribute("src", re.compile("^blob:"))
    expect(viewer.get_by_alt_text("Photograph: a.png")).to_have_js_property("naturalWidth", 32)
    expect(viewer.get_by_role("definition").filter(has_text="1,000,000")).to_be_visible()
    expect(viewer.get_by_role("link", name="Save picture")).to_have_attribute("download", "p1.png")
    viewer.get_by_role("button", name="Close").click()
    expect(viewer).to_be_hidden()
    expect(page.get_by_role("button", name="Show p1 large")).to_be_focused()


def test_the_picture_is_shown_although_its_thumbnail_could_not_be_loaded(
    served: Served, visit: Visit
) -> None:
    put(served, "m", manifest(1))
    ended(served, "m")
    page = visit(served, "/#/manifest/m")
    page.route("**/thumbnails/**", lambda route: route.abort())
    page.get_by_role("button", name="Show p0 large").click()
    expect(page.locator("#viewer-picture")).to_be_visible()
    expect(page.locator("#viewer-picture")).to_have_attribute("src", re.compile("^blob:"))


@pytest.mark.parametrize("token", ["", "a-token-of-some-length"])
def test_a_pair_in_a_format_that_browsers_do_not_show_is_shown_as_jpeg_and_saved_as_it_is(
    serve: Serve, visit: Visit, tmp_path: Path, token: str
) -> None:
    (tmp_path / "token").write_text(token)
    served = serve(settings=Settings(port=0, token_file=str(tmp_path / "token") if token else None))
    served.client.headers["Authorization"] = f"Bearer {token or 'none'}"
    put(served, "m", manifest(1, defaults={"format": "tiff"}))
    ended(served, "m")
    page = visit(served, "/#/manifest/m")
    if token:
        enter(page, token)
    expect(page.get_by_alt_text("p0")).to_have_js_property("naturalWidth", 32)
    page.get_by_role("button", name="Show p0 large").click()
    viewer = page.get_by_role("dialog", name="p0")
    save = viewer.get_by_role("link", name="Save picture")
    expect(save).to_have_attribute("href", re.compile("^blob:"))
    expect(viewer.locator("#viewer-facts div")).to_have_count(6)
    expect(viewer.locator("#viewer-picture")).to_have_js_property("naturalWidth", 32)
    expect(save).to_have_attribute("download", "p0.tiff")
    with page.expect_download() as saved:
        save.click()
    assert Path(saved.value.path()).read_bytes() == served.outbox.read("m/p0.tiff", 10**6)


def test_names_and_errors_with_html_in_them_are_shown_as_text(serve: Serve, visit: Visit) -> None:
    served = serve(works=False)
    errors = {"errors": [{"place": HTML, "message": HTML, "id": HTML}]}
    served.inbox.write(f"failed/{HTML}.json", b"{}")
    served.inbox.write(f"failed/{HTML}.error.json", json.dumps(errors).encode())
    page = visit(served, "/#/manifests/failed")
    page.get_by_role("link", name=HTML).click()
    expect(page.get_by_role("heading", name=HTML)).to_have_count(2)  # of the manifest and of the pair
    expect(page.locator("#manifest-error-list")).to_have_text(f"{HTML} {HTML}{HTML}")
    expect(page.locator("#pairs")).to_contain_text(HTML)
    expect(page.locator("b b, img[src=x]")).to_have_count(0)
    assert page.title() == f"{HTML} · Style transfer"


def test_a_manifest_that_is_not_there_is_named_so(serve: Serve, visit: Visit) -> None:
    page = visit(serve(works=False), "/#/manifest/nothing")
    expect(page.locator("#manifest-state")).to_contain_text("There is no manifest of this name")


def test_a_door_without_a_runner_shows_states_and_asks_for_no_preview(serve: Serve, visit: Visit) -> None:
    gate = Gate()
    runner = serve(before=lambda task: gate(task) if task.pair.id == "p1" else None)
    door = serve(works=False, at=runner, timing=replace(QUICK, scan_bucket=0.05))
    page = visit(door)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if r.url.endswith("/preview") else None)
    expect(page.locator("#count-waiting")).to_have_text("0")
    put(runner, "m", manifest(2))
    assert gate.reached.wait(60)
    expect(page.locator("#count-processing")).to_have_text("1")
    expect(page.locator("#running")).to_contain_text("1 of 2 pairs")
    gate.opened.set()
    expect(page.locator("#count-done")).to_have_text("1")
    expect(page.locator("#running li")).to_have_count(0)
    expect(page.locator("#wall li")).to_have_count(2)
    assert asked == []


def test_work_of_other_runners_is_shown_also_beside_many_manifests_of_this_one(
    serve: Serve, visit: Visit
) -> None:
    served = serve(works=False)
    for number in range(12):
        served.inbox.write(f"processing/m{number:02}.json", b"{}")
        served.hub.hear(ManifestStarted(f"m{number:02}", 1))
    served.inbox.write("processing/other.json", json.dumps(manifest(2)).encode())
    page = visit(served)
    expect(page.locator("#running")).to_contain_text("0 of 2 pairs")
    expect(page.locator("#running li")).to_have_count(1)


def test_the_first_part_is_shown_when_the_pairs_of_a_later_one_are_gone(serve: Serve, visit: Visit) -> None:
    served = serve(works=False)
    served.outbox.write("m/p0.png", b"")
    served.outbox.write("m/p0.json", b"{}")
    served.inbox.write("m.json", json.dumps(manifest(60)).encode())
    page = visit(served, "/#/manifest/m")
    page.get_by_role("button", name="Next").click()
    expect(page.locator("#pairs li")).to_have_count(12)
    served.client.delete("/manifests/m")
    expect(page.locator("#manifest-state")).to_have_text("Failed")
    expect(page.locator("#pairs li")).to_have_count(1)
    expect(page.get_by_role("button", name="Previous")).to_have_count(0)


def test_a_list_follows_what_happens(serve: Serve, visit: Visit) -> None:
    served = serve(works=False, timing=replace(QUICK, scan_bucket=0.01))
    put(served, "m", manifest())
    page = visit(served, "/#/manifests/waiting")
    expect(page.locator("#list-items a")).to_have_text("m")
    assert served.client.delete("/manifests/m").status_code == 200
    expect(page.locator("#list-items a")).to_have_count(0)
    expect(page.locator("#list-heading")).to_have_text("Waiting: 0")


def test_the_viewer_says_why_a_picture_is_missing(served: Served, visit: Visit) -> None:
    put(served, "m", manifest())
    ended(served, "m")
    page = visit(served, "/#/manifest/m")
    show = page.get_by_role("button", name="Show p0 large")
    expect(show).to_be_visible()
    served.outbox.remove("m/p0.png")
    show.click()
    viewer = page.get_by_role("dialog", name="p0")
    expect(viewer.get_by_role("alert")).to_have_text("there is no result of this name")
    expect(viewer.get_by_role("link", name="Save picture")).to_be_hidden()


def test_numbers_of_a_result_are_exact(served: Served, visit: Visit) -> None:
    put(served, "m", manifest(defaults={"strength": 0.0625}))
    ended(served, "m")
    record = json.loads(served.outbox.read("m/p0.json", 10**6))
    served.outbox.write("m/p0.json", json.dumps({**record, "seconds": 119.7}).encode())
    page = visit(served, "/#/manifest/m")
    page.get_by_role("button", name="Show p0 large").click()
    for text in ("0.0625", "2 min 0 s"):
        expect(page.locator("#viewer-facts dd").filter(has_text=text)).to_be_visible()


def test_all_errors_without_a_pair_are_shown(serve: Serve, visit: Visit) -> None:
    served = serve(works=False)
    errors = [{"place": f"defaults.{n}", "message": "unknown key"} for n in range(80)]
    errors += [{"place": "product", "message": "no such file", "id": f"p{n}"} for n in range(200)]
    served.inbox.write("failed/m.json", b"{}")
    served.inbox.write("failed/m.error.json", json.dumps({"errors": errors}).encode())
    page = visit(served, "/#/manifest/m")
    expect(page.locator("#manifest-errors-heading")).to_have_text("280 errors")
    expect(page.locator("#manifest-error-list li")).to_have_count(80)
    expect(page.locator("#manifest-error-more")).to_have_text("200 more are listed with their pairs.")
