"""The form of the page, in a real browser: two pictures become a picture."""

import json
import re
from pathlib import Path

from playwright.sync_api import JSHandle, Page, Request, expect

from nst.result import Evaluation, Losses
from pipeline.engines.base import Failed
from pipeline.errors import Problem
from pipeline.events.listener import Evaluated
from tests.conftest import make_picture
from tests.pipeline.server.browser import Visit
from tests.pipeline.server.conftest import Gate, Serve, Served

REMEDY = "content.jpg: damaged or truncated; replace it with a whole file"


def pictures(folder: Path) -> list[Path]:
    """Two files with pictures."""
    for seed, name in enumerate(("cat.png", "waves.png")):
        make_picture(seed=seed).save(folder / name)
    return [folder / "cat.png", folder / "waves.png"]


def dropped(page: Page, *files: Path) -> JSHandle:
    """What a person drops who drags these files."""
    contents = [{"name": file.name, "bytes": list(file.read_bytes())} for file in files]
    return page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const { name, bytes } of files)
                transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            return transfer;
        }""",
        contents,
    )


def drop(page: Page, place: str, *files: Path) -> None:
    page.dispatch_event(place, "drop", {"dataTransfer": dropped(page, *files)})


def evaluated(served: Served, manifest: str, step: int, pair: str = "picture", steps: int = 200) -> None:
    """The engine reports an evaluation."""
    losses = Losses(1.0, 1.0, 0.0, 2.0)
    evaluation = Evaluation(step=step, steps=steps, scale=32, losses=losses, seconds=0.1)
    served.session.listener.hear(Evaluated(manifest, pair, evaluation))


def job_of(served: Served) -> str:
    """The name of the manifest of the only request."""
    found = {match[0] for key in served.files() if (match := re.search(r"request-[0-9a-f]{32}", key))}
    assert len(found) == 1
    return found.pop()


def test_two_pictures_are_dropped_and_become_a_picture(
    serve: Serve, visit: Visit, gate: Gate, tmp_path: Path
) -> None:
    served = serve(before=gate)
    content, style = pictures(tmp_path)
    page = visit(served)
    expect(page.get_by_text("There are no pictures yet")).to_be_visible()
    drop(page, "#content-zone", content)
    drop(page, "#style-zone", style)
    expect(page.locator("#content-zone")).to_contain_text("cat.png")
    expect(page.locator("#style-zone")).to_contain_text("waves.png")
    page.get_by_role("button", name="Make the picture").click()
    assert gate.reached.wait(60)
    name = job_of(served)
    evaluated(served, name, 1)
    evaluated(served, name, 100)
    expect(page.locator("#job-state")).to_have_text("Working on it.")
    expect(page.locator("#job-bar")).to_have_js_property("value", 0.5)
    expect(page.locator("#running .card-text")).to_contain_text("50 %")
    expect(page.locator("#count-processing")).to_have_text("1")
    gate.opened.set()
    expect(page.locator("#job-state")).to_have_text("Done.")
    expect(page.get_by_alt_text("Your picture")).to_have_js_property("naturalWidth", 32)
    expect(page.get_by_role("link", name="Save picture")).to_have_attribute("href", re.compile("^blob:"))
    page.get_by_role("button", name="Show your picture large").click()
    saved = page.get_by_role("dialog").get_by_role("link", name="Save picture")
    expect(saved).to_have_attribute("download", "picture.png")
    page.keyboard.press("Escape")
    expect(page.locator("#wall img")).to_have_js_property("naturalWidth", 32)
    expect(page.locator("#count-done")).to_have_text("1")
    expect(page.locator("#running li")).to_have_count(0)
    assert served.manifest(name)["max_size"] == 512


def test_two_files_that_are_dropped_at_once_fill_both_places(
    serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    page = visit(serve(works=False))
    drop(page, "#content-zone", *pictures(tmp_path))
    expect(page.locator("#content-zone")).to_contain_text("cat.png")
    expect(page.locator("#style-zone")).to_contain_text("waves.png")


def test_a_file_that_misses_its_place_does_not_replace_the_page(
    serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    page = visit(serve(works=False))
    prevented = page.evaluate(
        """(transfer) => !document.querySelector("footer").dispatchEvent(
            new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }))""",
        dropped(page, *pictures(tmp_path)),
    )
    assert prevented


def test_everything_can_be_done_with_the_keyboard(served: Served, visit: Visit, tmp_path: Path) -> None:
    page = visit(served)
    # While somebody listens, no dialog opens. Otherwise playwright intercepts dialogs only within
    # `expect_file_chooser`, and a key may be pressed before that has begun.
    page.on("filechooser", lambda chooser: None)
    expect(page.locator("#count-done")).to_have_text("0")
    for file, name in zip(pictures(tmp_path), ("content", "style"), strict=True):
        reach(page, name)
        with page.expect_file_chooser() as chosen:
            page.keyboard.press("Enter")
        chosen.value.set_files(file)
    reach(page, "strength")
    for _ in range(10):
        page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("slider")).to_have_attribute("aria-valuetext", "strength 0.32")
    reach(page, "size")
    page.keyboard.type("256")
    reach(page, "make")
    page.keyboard.press("Enter")
    expect(page.locator("#job-state")).to_have_text("Done.")
    reach(page, "job-frame")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("dialog").get_by_role("heading")).to_be_focused()
    expect(page.locator("#viewer-facts")).to_contain_text("Strength0.32Style weight1,000,000")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("#job-frame")).to_be_focused()
    assert served.manifest(job_of(served))["strength"] == 0.32
    assert served.manifest(job_of(served))["max_size"] == 256


def reach(page: Page, wanted: str) -> None:
    """Press the tabulator until the element with this id has the focus."""
    for _ in range(60):
        if page.evaluate("document.activeElement.id") == wanted:
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"the tabulator does not lead to {wanted}")


def test_a_picture_that_is_missing_is_named_and_gets_the_focus(
    serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    served = serve(works=False)
    page = visit(served)
    page.get_by_role("button", name="Make the picture").click()
    expect(page.get_by_role("alert").filter(has_text="Choose a photograph first.")).to_be_visible()
    expect(page.locator("#content")).to_be_focused()
    page.set_input_files("#content", pictures(tmp_path)[0])
    page.get_by_role("button", name="Make the picture").click()
    expect(page.get_by_role("alert").filter(has_text="Choose a painting first.")).to_be_visible()
    assert served.files() == []


def test_a_file_that_is_no_picture_is_refused_with_the_reason(
    serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    (tmp_path / "text.png").write_text("no picture")
    page = visit(serve(works=False))
    page.set_input_files("#content", pictures(tmp_path)[0])
    page.set_input_files("#style", tmp_path / "text.png")
    page.get_by_role("button", name="Make the picture").click()
    expect(page.locator("#new-error")).to_contain_text("not an image")


def make(page: Page, folder: Path) -> None:
    """Fill the form and send it."""
    for name, file in zip(("#content", "#style"), pictures(folder), strict=True):
        page.set_input_files(name, file)
    page.get_by_role("button", name="Make the picture").click()


def test_a_job_can_be_cancelled_and_retried(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    served = serve(works=False)
    page = visit(served)
    make(page, tmp_path)
    expect(page.locator("#job-state")).to_have_text("Waiting for its turn.")
    page.locator("#job").get_by_role("button", name="Cancel").click()
    expect(page.locator("#job-state")).to_have_text("It has failed.")
    expect(page.locator("#job-errors")).to_have_text("cancelled by hand")
    assert served.manifest(job_of(served), "failed/")
    page.locator("#job").get_by_role("button", name="Retry").click()
    expect(page.locator("#job-state")).to_have_text("Waiting for its turn.")
    assert served.manifest(job_of(served), "")


def test_a_job_that_fails_shows_why_and_what_to_do(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    served = serve(before=lambda task: Failed(task, Problem("", REMEDY, task.pair.id)))
    page = visit(served)
    make(page, tmp_path)
    expect(page.locator("#job-errors")).to_have_text(REMEDY)
    expect(page.locator("#count-failed")).to_have_text("1")


def test_the_same_pictures_become_another_picture_when_they_are_sent_again(
    serve: Serve, visit: Visit, tmp_path: Path
) -> None:
    served = serve(works=False)
    page = visit(served)
    make(page, tmp_path)
    expect(page.locator("#count-waiting")).to_have_text("1")
    page.get_by_role("button", name="Make the picture").click()
    expect(page.locator("#count-waiting")).to_have_text("2")


def test_a_form_that_is_sent_twice_is_one_job(serve: Serve, visit: Visit, tmp_path: Path) -> None:
    served = serve(works=False)
    page = visit(served)
    keys: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/stylize"):
            keys.append(request.headers["idempotency-key"])

    page.on("request", note)
    page.route("**/stylize", lambda route: route.abort(), times=1)
    make(page, tmp_path)
    expect(page.locator("#new-error")).to_contain_text("Check that the server runs")
    page.get_by_role("button", name="Make the picture").click()
    expect(page.locator("#job-state")).to_have_text("Waiting for its turn.")
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert json.loads(served.inbox.read(f"{job_of(served)}.json", 10**6))["strength"] == 1
