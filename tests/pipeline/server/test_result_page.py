"""The page of a manifest in the outbox, as a browser shows it."""

import re

from playwright.sync_api import expect

from tests.pipeline.server.browser import Visit
from tests.pipeline.server.conftest import Served
from tests.pipeline.server.test_manifests import ended, manifest, upload_images


def test_a_browser_shows_the_pictures_of_a_result_page(served: Served, visit: Visit) -> None:
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(2))
    ended(served, "m")
    page = visit(served, "/results/m/")
    pictures = page.locator(".result img")
    expect(pictures).to_have_count(2)
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()  # it is loaded when it comes into view
        width = int(picture.get_attribute("width") or 0)
        expect(picture).to_have_js_property("naturalWidth", width)


def test_a_browser_shows_a_jpeg_of_a_tiff_picture_and_saves_the_picture(served: Served, visit: Visit) -> None:
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(1, defaults={"format": "tiff"}))
    ended(served, "m")
    page = visit(served, "/results/m/")
    picture = page.locator(".result img")
    picture.scroll_into_view_if_needed()
    expect(picture).to_have_js_property("naturalWidth", 32)
    expect(picture).to_have_attribute("src", re.compile(r"^thumbs/[0-9a-f]{16}\.jpg$"))
    with page.expect_download() as saved:
        page.get_by_role("link", name="TIFF").click()
    assert saved.value.suggested_filename == "p0.tiff"


def test_a_browser_shows_the_animation_of_a_pair_with_snapshots(served: Served, visit: Visit) -> None:
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(1, defaults={"snapshots": 3}))
    ended(served, "m")
    for motion, file in (("no-preference", "animation.webp"), ("reduce", "03.jpg")):
        page = visit(served, "/results/m/", reduced_motion=motion)
        picture = page.locator(".formed img")
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("naturalWidth", 32)
        address = f"{page.url}p0.snapshots/{file}"
        expect(picture).to_have_js_property("currentSrc", address)
    page.get_by_role("link", name="Animation").click()
    expect(page).to_have_url(re.compile(r"/results/m/p0\.snapshots/animation\.webp$"))


def test_a_script_in_a_result_page_does_not_run(served: Served, visit: Visit) -> None:
    served.outbox.write("m/index.html", b"<title>a</title><p onclick='document.title=1'>b</p>")
    page = visit(served, "/results/m/")
    page.locator("p").click()
    assert page.title() == "a"
