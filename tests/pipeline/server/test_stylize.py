import io
import json
import threading
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from manifests.demo_s3 import BUCKET
from pipeline.engines.base import Failed, Task
from pipeline.errors import Problem, UnavailableError
from pipeline.events.listener import ManifestEnded, ManifestStarted, PairDone
from pipeline.settings import Settings
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.conftest import make_png
from tests.pipeline.server.conftest import CONTENT, FORM, QUICK, STYLE, Gate, Serve, Served

OFTEN = replace(QUICK, look_bucket=0.01, look_bucket_last=0.01)


def name_of(answer: httpx.Response) -> str:
    """The name of the job that an answer is about."""
    return answer.headers["location"].removeprefix("/jobs/")


def ended(served: Served, name: str) -> None:
    """Wait until a manifest has ended."""
    served.listener.wait_for(ManifestEnded, lambda event: event.manifest == name)


def test_the_answer_is_the_picture_with_its_job_and_its_losses(served: Served) -> None:
    answer = served.stylize()
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == served.outbox.read(f"{name_of(answer)}/picture.png", 10**6)
    losses = {name: answer.headers[f"nst-loss-{name}"] for name in ("content", "style", "tv", "total")}
    assert losses == {"content": "1", "style": "1", "tv": "0", "total": "2"}
    assert answer.headers["nst-evaluations"] == "1"


def test_images_and_manifest_lie_in_the_inbox_and_the_manifest_goes_before_bulk_work(served: Served) -> None:
    answer = served.stylize(epochs="20", content_weight="1.0", style_weight="500000.0", preserve_color="true")
    name = name_of(answer)
    ended(served, name)
    images = {file: f"requests/{name}/{file}.png" for file in ("content", "style-1")}
    assert {file: served.inbox.read(key, 10**6) for file, key in images.items()} == {
        "content": CONTENT,
        "style-1": STYLE,
    }
    assert served.manifest(name) == {
        "priority": 100,
        "id": "picture",
        "content": images["content"],
        "style": images["style-1"],
        "epochs": 20,
        "content_weight": 1.0,
        "style_weight": 500000.0,
        "preserve_color": True,
    }


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tiff"])
def test_the_answer_has_the_media_type_of_the_format(served: Served, form: str) -> None:
    answer = served.stylize(format=form, enlarge="true", dpi="300", max_size="3543")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"image/{form.replace('jpg', 'jpeg')}"
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.format == form.replace("jpg", "jpeg").upper()
    name = name_of(answer)
    ended(served, name)
    assert {key: served.manifest(name)[key] for key in ("format", "enlarge", "dpi", "max_size")} == {
        **{"format": form, "enlarge": True, "dpi": 300, "max_size": 3543}
    }
    again = served.client.get(f"/jobs/{name}", headers={"Accept": "image/*"})
    assert (again.content, again.headers["content-type"]) == (answer.content, answer.headers["content-type"])


@pytest.mark.parametrize("weights", [["0.7", "0.3"], ["0.7,0.3"], ["[0.7, 0.3]"]])
def test_several_styles_have_weights(served: Served, weights: list[str]) -> None:
    files = [("content_image", CONTENT), ("style_image", STYLE), ("style_image", make_png(seed=3))]
    answer = served.client.post("/stylize", files=files, data={"style_weights": weights})
    ended(served, name_of(answer))
    styles = served.manifest(name_of(answer))["styles"]
    assert [(style["image"].rpartition("/")[2], style["weight"]) for style in styles] == [
        ("style-1.png", 0.7),
        ("style-2.png", 0.3),
    ]


@pytest.mark.parametrize(
    ("fields", "place", "message"),
    [
        ({"epochs": "many"}, "epochs", 'should be a valid integer; found "many"'),
        ({"epochs": "0"}, "epochs", "should be greater than or equal to 1; found 0"),
        ({"epoch": "1"}, "epoch", "unknown field; did you mean 'epochs'?"),
        ({"priority": "1"}, "priority", "unknown field"),
        ({"content": "../../secret.png"}, "content", "unknown field"),
        ({"epochs": ["1", "2"]}, "epochs", "is given twice"),
        ({"format": "tif"}, "format", "should be 'png', 'jpg', 'webp' or 'tiff'; found \"tif\""),
        ({"dpi": "0"}, "dpi", "should be greater than or equal to 1; found 0"),
        ({"dpi": "many"}, "dpi", 'should be a valid number; found "many"'),
        ({"enlarge": "1"}, "enlarge", "should be a valid boolean; found 1"),
        (
            {"style_weights": ["1", "2"]},
            "style_weights",
            "one weight for each style is needed; found 2 for 1",
        ),
        ({"style_weights": "-1"}, "style_weights[0]", "should be greater than"),
        ({"content_weight": "NaN"}, "content_weight", "should be a finite number; found NaN"),
        ({"content_weight": "9" * 5000}, "content_weight", "should be a valid number"),
    ],
)
def test_a_bad_field_is_refused_with_its_place(
    served: Served, fields: dict[str, Any], place: str, message: str
) -> None:
    answer = served.stylize(**fields)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    [error] = answer.json()["errors"]
    assert error["place"] == place
    assert error["message"].startswith(message)
    assert served.files() == []


def test_caps_of_the_operator_hold_for_requests(serve: Serve) -> None:
    served = serve(settings=Settings(port=0, most_epochs=5))
    assert "NST_MOST_EPOCHS" in served.stylize(epochs="6").json()["detail"]
    assert served.stylize(epochs="5").status_code == 200


@pytest.mark.parametrize("missing", ["content_image", "style_image"])
def test_a_missing_image_is_refused(served: Served, missing: str) -> None:
    files = {name: image for name, image in FORM.items() if name != missing}
    answer = served.client.post("/stylize", files=files)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["place"] == missing


def test_images_that_cannot_be_decoded_are_named_and_nothing_is_kept(served: Served) -> None:
    files = {"content_image": CONTENT[:-40], "style_image": b"text"}
    answer = served.client.post("/stylize", files=files)
    assert answer.status_code == 422
    assert [error["place"] for error in answer.json()["errors"]] == ["content_image", "style_image[0]"]
    assert served.files() == []


def test_a_failed_pair_answers_with_its_message(serve: Serve) -> None:
    message = "too large for the memory at hand; lower max_size from 1024"
    served = serve(before=lambda task: Failed(task, Problem("", message, "picture")))
    answer = served.stylize()
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["detail"] == message
    found = served.client.get(answer.headers["location"]).json()
    assert (found["state"], found["errors"][0]["message"]) == ("failed", message)


def test_a_job_that_has_failed_says_so_although_its_error_file_is_gone(serve: Serve) -> None:
    served = serve(before=lambda task: Failed(task, Problem("", "no", "picture")))
    headers = {"Idempotency-Key": "k"}
    job = served.stylize(headers=headers).headers["location"]
    served.inbox.remove(f"failed/{job.removeprefix('/jobs/')}.error.json")
    found = served.client.get(job).json()
    assert found["state"] == "failed"
    assert "its error file is missing" in found["errors"][0]["message"]
    assert served.stylize(headers=headers).status_code == 422


def test_a_store_that_cannot_be_read_does_not_make_a_failed_job_a_waiting_one(serve: Serve) -> None:
    served = serve(before=lambda task: Failed(task, Problem("", "no", "picture")))
    job = served.stylize().headers["location"]

    def unavailable(verb: str, key: str) -> None:
        if verb == "read" and key.endswith(".error.json"):
            raise UnavailableError("inbox: out of reach")

    served.inbox.before = unavailable
    assert served.client.get(job).status_code == 503


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0"])
def test_a_client_may_ask_for_the_job_and_fetch_the_picture_later(
    serve: Serve, gate: Gate, prefer: str
) -> None:
    served = serve(before=gate)
    answer = served.stylize(headers={"Prefer": prefer})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == prefer
    assert int(answer.headers["retry-after"]) > 0
    job = answer.headers["location"]
    assert answer.json()["state"] == "waiting"
    assert gate.reached.wait(60)
    assert served.client.get(job).json()["state"] == "processing"
    assert served.client.get(f"{job}/picture").status_code == 404
    gate.opened.set()
    ended(served, name_of(answer))
    found = served.client.get(job).json()
    assert found["state"] == "done"
    assert found["losses"] == {"content": 1, "style": 1, "tv": 0, "total": 2}
    for picture in (
        served.client.get(found["picture"]),
        served.client.get(job, headers={"Accept": "image/*"}),
    ):
        assert picture.content == served.outbox.read(f"{name_of(answer)}/picture.png", 10**6)
        assert picture.headers["nst-loss-total"] == "2"
    assert served.client.get(found["record"]).json()["id"] == "picture"


def test_a_request_that_takes_longer_than_the_server_waits_is_answered_with_its_job(
    serve: Serve, gate: Gate
) -> None:
    served = serve(before=gate, settings=Settings(port=0, wait=0.05))
    assert served.stylize().status_code == 202


def test_a_job_goes_on_when_its_client_has_left(serve: Serve, gate: Gate) -> None:
    served = serve(before=gate)
    with httpx.Client(base_url=served.client.base_url) as impatient, pytest.raises(httpx.ReadTimeout):
        impatient.post("/stylize", files=FORM, timeout=0.2)
    assert gate.reached.wait(60)
    gate.opened.set()
    [task] = served.engine.tasks
    ended(served, task.manifest)
    assert served.client.get(f"/jobs/{task.manifest}").json()["state"] == "done"


def test_requests_of_ten_clients_are_handed_out_as_one_batch(serve: Serve, gate: Gate) -> None:
    served = serve(before=gate, batch=10)
    names = {name_of(served.stylize(headers={"Prefer": "respond-async"})) for _ in range(11)}
    assert gate.reached.wait(60)
    served.listener.wait_for(ManifestStarted, lambda _: len(served.listener.of(ManifestStarted)) == 11)
    assert served.listener.of(PairDone) == []
    assert {event.manifest for event in served.listener.of(ManifestStarted)} == names


def test_the_same_key_and_body_are_the_same_job(served: Served) -> None:
    first, second = (served.stylize(headers={"Idempotency-Key": "k1"}) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert first.content == second.content
    assert len(served.engine.tasks) == 1
    other = served.stylize(headers={"Idempotency-Key": "k2"})
    assert other.headers["location"] != first.headers["location"]


def test_the_same_key_is_the_same_job_in_a_bucket(serve: Serve, seaweed: str) -> None:
    client, run = connect("s3", seaweed), uuid4().hex
    inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{end}", client) for end in ("in", "out"))
    served = serve(places=(inbox, outbox), endpoint_url=seaweed)
    answers = [served.stylize(headers={"Idempotency-Key": "k"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert len(served.listener.of(ManifestStarted)) == 1
    assert inbox.entries("") == []
    assert served.stylize(headers={"Idempotency-Key": "k"}, epochs="3").status_code == 422


def test_requests_with_one_key_at_the_same_time_are_one_job(serve: Serve, gate: Gate) -> None:
    served = serve(before=gate)
    answers: list[httpx.Response] = []
    again = threading.Event()

    def hold(verb: str, key: str) -> None:
        """Give another thread the time to write the same image before this one does."""
        if verb == "write" and key.endswith("content.png"):
            if ("begun", "") in served.inbox.calls:
                again.set()
            served.inbox.calls.append(("begun", ""))
            again.wait(0.5)

    served.inbox.before = hold

    def send() -> None:
        with httpx.Client(base_url=served.client.base_url, timeout=60) as client:
            answers.append(client.post("/stylize", files=FORM, headers={"Idempotency-Key": "k"}))

    threads = [threading.Thread(target=send) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert gate.reached.wait(60)
    gate.opened.set()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert len(served.engine.tasks) == 1
    assert not again.is_set()


def test_the_same_key_with_another_body_is_refused(served: Served) -> None:
    served.stylize(headers={"Idempotency-Key": "k"})
    answer = served.stylize(headers={"Idempotency-Key": "k"}, epochs="3")
    assert answer.status_code == 422
    assert "belongs to another request" in answer.json()["detail"]
    assert len(served.engine.tasks) == 1


def test_a_request_whose_door_died_before_the_manifest_was_written_is_taken_in_again(serve: Serve) -> None:
    served = serve()
    headers = {"Idempotency-Key": "k"}

    def die(verb: str, key: str) -> None:
        if verb == "remove" or (verb == "replace" and "/" not in key):
            raise UnavailableError("the door is dead")

    served.inbox.before = die
    assert served.stylize(headers=headers).status_code == 503
    served.inbox.before = lambda verb, key: None
    assert any(key.endswith("request.json") for key in served.files())
    assert served.stylize(headers=headers).status_code == 200


def test_a_repeat_of_a_job_whose_results_were_removed_says_so(served: Served) -> None:
    headers = {"Idempotency-Key": "k"}
    name = name_of(served.stylize(headers))
    for entry in served.outbox.entries(name):
        served.outbox.remove(f"{name}/{entry.name}")
    answer = served.stylize(headers)
    assert (answer.status_code, answer.json()["detail"]) == (404, "the results of this job were removed")


def test_parameters_that_are_not_given_are_what_the_operator_allows(serve: Serve) -> None:
    served = serve(works=False, settings=Settings(port=0, most_epochs=4, most_size=64))
    answer = served.stylize({"Prefer": "respond-async"})
    assert answer.status_code == 202
    document = served.manifest(name_of(answer), folder="")
    assert (document["epochs"], document["max_size"]) == (4, 64)
    assert served.stylize(epochs=5).status_code == 422


def test_a_repeat_that_fails_removes_nothing_of_an_earlier_try(serve: Serve) -> None:
    served = serve(works=False)
    headers = {"Idempotency-Key": "k", "Prefer": "respond-async"}

    def hide(verb: str, key: str) -> None:
        """Let the manifest of the first try be written when the second one has looked for it."""
        if verb == "write" and "style" in key:
            served.inbox.before = lambda verb, key: None
            served.inbox.write(*manifest)
            served.inbox.before = hide
            raise UnavailableError("the bucket is slow")

    assert served.stylize(headers).status_code == 202
    (name,) = served.inbox.glob("*.json")
    manifest = name, served.inbox.read(name, 10**6)
    served.inbox.remove(name)
    files = served.files()
    served.inbox.before = hide
    assert served.stylize(headers).status_code == 503
    assert served.files() == sorted([*files, name])


def test_images_stay_if_the_manifest_may_have_been_written(serve: Serve) -> None:
    served = serve(works=False)
    replace_file = served.inbox.replace

    def written_without_an_answer(key: str, data: bytes, seen: str | None) -> str:
        found = replace_file(key, data, seen)
        if key.startswith("request-"):
            raise UnavailableError("inbox: out of reach")
        return found

    served.inbox.replace = written_without_an_answer  # type: ignore[method-assign]
    assert served.stylize().status_code == 503
    (manifest,) = served.inbox.glob("*.json")
    document = json.loads(served.inbox.read(manifest, 10**6))
    assert served.inbox.tag(document["content"])
    assert served.inbox.tag(document["style"])


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_that_is_empty_or_long_is_refused(served: Served, key: str) -> None:
    assert served.stylize(headers={"Idempotency-Key": key}).status_code == 400


def test_a_door_without_work_finds_the_picture_that_another_runner_makes(serve: Serve) -> None:
    runner = serve()
    door = serve(works=False, at=runner, timing=OFTEN)
    door.session.wake = runner.session.wake
    answer = door.stylize()
    assert answer.status_code == 200
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)


def test_a_door_without_work_finds_the_failure_that_another_runner_meets(serve: Serve) -> None:
    def fail(task: Task) -> Failed:
        return Failed(task, Problem("", "no", "picture"))

    runner = serve(before=fail)
    door = serve(works=False, at=runner, timing=OFTEN)
    door.session.wake = runner.session.wake
    answer = door.stylize()
    assert (answer.status_code, answer.json()["detail"]) == (422, "no")


def test_an_unknown_job_is_404(served: Served) -> None:
    for name in ("request-" + "0" * 32, "nonsense", "..%2f..%2fetc"):
        answer = served.client.get(f"/jobs/{name}")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
