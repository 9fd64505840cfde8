"""`/manifests/NAME/pairs/PAIR/preview`: the picture of a pair while it is computed."""

import io
import threading

from PIL import Image

from pipeline.engines.base import Task
from pipeline.events.listener import PairDone
from tests.pipeline.server.conftest import CONTENT, STYLE, Gate, Serve, Served

PREVIEW = "/manifests/m/pairs/p0/preview"


def submit(served: Served, pairs: int = 1) -> None:
    """Send a manifest with the pairs p0, p1, ..."""
    served.inbox.write("a.png", CONTENT)
    served.inbox.write("b.png", STYLE)
    listed = [{"id": f"p{n}", "content": "a.png", "style": "b.png", "seed": n} for n in range(pairs)]
    assert served.client.put("/manifests/m", json={"pairs": listed}).status_code == 201


def test_there_is_no_preview_at_first_and_then_there_is_one_until_the_pair_ends(
    serve: Serve, gate: Gate
) -> None:
    served = serve(before=gate)
    first = served.client.get(PREVIEW)
    assert (first.status_code, first.headers["content-type"]) == (404, "application/problem+json")
    submit(served)
    assert gate.reached.wait(60)
    answer = served.client.get(PREVIEW)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    assert answer.headers["cache-control"] == "private, no-cache"
    picture = Image.open(io.BytesIO(answer.content))
    assert picture.format == "JPEG" and max(picture.size) <= 256
    gate.opened.set()
    served.listener.wait_for(PairDone)
    assert served.client.get(PREVIEW).status_code == 404


def test_a_preview_that_the_client_has_is_not_sent_again(serve: Serve, gate: Gate) -> None:
    served = serve(before=gate)
    served.client.get(PREVIEW)
    submit(served)
    assert gate.reached.wait(60)
    tag = served.client.get(PREVIEW).headers["etag"]
    again = served.client.get(PREVIEW, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    served.session.previews.put("m", "p0", b"newer")
    newer = served.client.get(PREVIEW, headers={"If-None-Match": tag})
    assert (newer.status_code, newer.content) == (200, b"newer")
    assert newer.headers["etag"] != tag


def test_a_pair_that_nobody_asks_for_has_no_preview(serve: Serve) -> None:
    reached, opened = threading.Semaphore(0), threading.Semaphore(0)

    def before(task: Task) -> None:
        reached.release()
        assert opened.acquire(timeout=60)

    served = serve(before=before)
    submit(served, pairs=2)
    assert reached.acquire(timeout=60)
    served.client.get("/manifests/m/pairs/p1/preview")
    assert served.client.get(PREVIEW).status_code == 404
    opened.release()
    assert reached.acquire(timeout=60)
    assert served.client.get("/manifests/m/pairs/p1/preview").status_code == 200
    opened.release()


def test_a_door_without_a_runner_has_no_previews(serve: Serve) -> None:
    served = serve(works=False)
    for _ in range(2):
        assert served.client.get(PREVIEW).status_code == 404


def test_a_name_that_is_no_manifest_is_not_watched(served: Served) -> None:
    assert served.client.get("/manifests/.hidden/pairs/p0/preview").status_code == 404
    assert served.session.previews.watched() == frozenset()
