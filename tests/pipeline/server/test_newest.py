"""The newest results, and their small pictures."""

import io
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipeline.events.listener import ManifestEnded
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.server.conftest import QUICK, Gate, Serve, Served
from tests.pipeline.server.test_manifests import manifest, upload_images


def results(served: Served, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = served.client.get("/results", params=query).json()["results"]
    return found


def names(served: Served, **query: Any) -> list[str]:
    return [f"{each['manifest']}/{each['pair']}" for each in results(served, **query)]


def finish(served: Served, name: str, pairs: int = 1) -> None:
    assert served.client.put(f"/manifests/{name}", json=manifest(pairs)).status_code == 201
    served.listener.wait_for(ManifestEnded, lambda event: event.manifest == name)


def test_the_newest_results_come_first(served: Served) -> None:
    upload_images(served)
    assert results(served) == []
    for name in ("a", "c", "b"):
        finish(served, name, 2)
    assert names(served) == ["b/p1", "b/p0", "c/p1", "c/p0", "a/p1", "a/p0"]
    assert names(served, limit=3) == ["b/p1", "b/p0", "c/p1"]
    first = results(served, limit=1)[0]
    assert (first["picture"], first["thumbnail"]) == ("/results/b/p1.png", "/thumbnails/b/p1.png")
    assert served.client.get(first["picture"]).status_code == 200


def test_results_of_a_manifest_that_is_worked_on_are_among_them(serve: Serve) -> None:
    gate = Gate()
    served = serve(before=lambda task: gate(task) if task.pair.id == "p2" else None)
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(3))
    assert gate.reached.wait(60)
    assert names(serve(works=False, at=served)) == ["m/p1", "m/p0"]
    gate.opened.set()


def test_a_manifest_that_was_sent_long_ago_and_is_done_now_comes_first(serve: Serve, tmp_path: Path) -> None:
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    timing = replace(QUICK, counted=0.0, settled=0.0)
    places = (FolderStore(tmp_path / "in", timing), FolderStore(tmp_path / "out", timing))
    served = serve(places=places, timing=timing)
    upload_images(served)
    finish(served, "old")
    done = tmp_path / "in" / "done"
    os.utime(done / "old.json", (1e9, 1e9))  # a move in a folder keeps the time at which a file was written
    for number in range(3):
        (done / f"later-{number}.json").write_text("{}")
        os.utime(done / f"later-{number}.json", (1.1e9, 1.1e9))
        (tmp_path / "out" / f"later-{number}").mkdir()
        for file in ("p.json", "p.png"):
            (tmp_path / "out" / f"later-{number}" / file).write_text("{}")
            os.utime(tmp_path / "out" / f"later-{number}" / file, (1.1e9, 1.1e9))
    for door in (served, serve(works=False, places=places, timing=timing)):
        assert names(door, limit=1) == ["old/p0"]


def test_folders_with_old_results_are_not_listed(serve: Serve) -> None:
    served = serve(works=False)
    for number in range(50):
        served.inbox.write(f"done/m{number:02}.json", b"{}")
        served.outbox.write(f"m{number:02}/p.json", b"{}")
        served.outbox.write(f"m{number:02}/p.png", b"")
    served.outbox.calls.clear()
    assert names(served, limit=5) == [f"m{number}/p" for number in (49, 48, 47, 46, 45)]
    assert len([call for call in served.outbox.calls if call[0] == "entries"]) == 5


def test_manifests_without_results_hide_no_results(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("done/m.json", b"{}")
    for file in ("p.json", "p.png"):
        served.outbox.write(f"m/{file}", b"")
    for number in range(50):
        served.inbox.write(f"failed/refused-{number}.json", b"{}")
    assert names(served, limit=5) == ["m/p"]


def test_the_folder_of_a_manifest_that_has_ended_is_listed_once(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("done/m.json", b"{}")
    for _ in range(3):
        results(served)
    assert [call for call in served.outbox.calls if call[0] == "entries"] == [("entries", "m")]
    served.inbox.write("done/m.json", b"{ }")
    results(served)
    assert len([call for call in served.outbox.calls if call[0] == "entries"]) == 2


def test_listings_are_shared_for_some_seconds(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, listed_bucket=3600.0))
    served.inbox.write("done/m.json", b"{}")
    for store in (served.inbox, served.outbox):
        store.calls.clear()
    for _ in range(5):
        results(served)
        served.client.get("/manifests")
    assert len([call for call in served.inbox.calls if call[0] == "entries"]) == 4  # one of each folder
    assert len([call for call in served.outbox.calls if call[0] == "entries"]) == 1

    def counted(state: str) -> bool:
        """Whether a manifest in this state is listed soon; the listing took some milliseconds."""
        lists = (served.client.get("/manifests").json() for _ in range(1000))
        return any(found["counts"][state] == 1 for found in lists)

    served.client.put("/manifests/new", json=manifest())
    assert counted("waiting")
    served.client.delete("/manifests/new")
    assert counted("failed")


def test_a_small_picture_is_a_jpeg_of_at_most_512_pixels(serve: Serve) -> None:
    served = serve(works=False)
    served.outbox.write("m/p.png", make_png(900, 600))
    answer = served.client.get("/thumbnails/m/p.png")
    assert answer.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(answer.content)) as small:
        assert (small.format, small.size) == ("JPEG", (512, 341))
    known = served.client.get("/thumbnails/m/p.png", headers={"If-None-Match": answer.headers["etag"]})
    assert (known.status_code, known.content) == (304, b"")


def test_a_tiff_picture_is_among_the_newest_and_has_a_small_jpeg(served: Served) -> None:
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(1, defaults={"format": "tiff"}))
    served.listener.wait_for(ManifestEnded)
    (found,) = results(served)
    assert (found["picture"], found["thumbnail"]) == ("/results/m/p0.tiff", "/thumbnails/m/p0.tiff")
    with Image.open(io.BytesIO(served.client.get(found["picture"]).content)) as picture:
        assert picture.format == "TIFF"
    answer = served.client.get(found["thumbnail"])
    with Image.open(io.BytesIO(answer.content)) as small:
        assert (small.format, answer.headers["content-type"]) == ("JPEG", "image/jpeg")


def test_a_small_picture_is_made_once_until_its_picture_changes(serve: Serve) -> None:
    served = serve(works=False)
    served.outbox.write("m/p.png", make_png(seed=1))
    read: list[str] = []
    served.outbox.before = lambda verb, key: read.append(key) if verb == "read" else None
    first, again = (served.client.get("/thumbnails/m/p.png").content for _ in range(2))
    assert (first == again, len(read)) == (True, 1)
    served.outbox.write("m/p.png", make_png(seed=2))
    assert served.client.get("/thumbnails/m/p.png").content != first


@pytest.mark.parametrize("path", ["m/no.png", "m/p.json", "m/bad.png", "..%2fm/p.png", "m/.hidden.png"])
def test_what_is_no_picture_has_no_small_one(serve: Serve, path: str) -> None:
    served = serve(works=False)
    for name in ("p.json", "bad.png", ".hidden.png"):
        served.outbox.write(f"m/{name}", b"no picture")
    answer = served.client.get(f"/thumbnails/{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_a_slow_listing_is_waited_for_and_not_repeated(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, listed_bucket=3600.0))
    reached, opened, listed = threading.Event(), threading.Event(), list[str]()

    def before(verb: str, key: str) -> None:
        if verb == "entries" and key == "":
            listed.append(key)
            reached.set()
            assert opened.wait(60)

    served.inbox.before = before
    clients = [threading.Thread(target=served.client.get, args=["/manifests"]) for _ in range(3)]
    for client in clients:
        client.start()
    assert reached.wait(60)
    opened.set()
    for client in clients:
        client.join()
    assert len(listed) == 1


def test_small_pictures_that_are_made_keep_no_other_request_waiting(serve: Serve) -> None:
    served = serve(works=False)
    served.outbox.write("m/p.png", make_png())
    found, opened = threading.Semaphore(0), threading.Event()

    def before(verb: str, key: str) -> None:
        if verb == "entry":
            found.release()
        elif verb == "read":
            assert opened.wait(60)

    served.outbox.before = before
    clients = [threading.Thread(target=served.client.get, args=["/thumbnails/m/p.png"]) for _ in range(32)]
    for client in clients:
        client.start()
    try:
        assert all(found.acquire(timeout=60) for _ in clients[:16])
        assert served.client.get("/manifests", timeout=20).status_code == 200
    finally:
        opened.set()
        for client in clients:
            client.join()


def put_results(served: Served, name: str, count: int) -> None:
    for number in range(count):
        for file in (f"p{number}.json", f"p{number}.png"):
            served.outbox.write(f"{name}/{file}", b"")


def test_old_results_of_a_manifest_that_is_worked_on_hide_no_newer_ones(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("processing/bulk.json", b"{}")
    put_results(served, "bulk", 5)
    put_results(served, "new", 1)
    served.inbox.write("done/new.json", b"{}")
    assert names(served, limit=3)[0] == "new/p0"


def test_results_of_a_manifest_that_comes_again_are_listed_once(serve: Serve) -> None:
    served = serve(works=False)
    put_results(served, "m", 2)
    for folder in ("done", "processing"):
        served.inbox.write(f"{folder}/m.json", b"{}")
    assert names(served) == ["m/p1", "m/p0"]
