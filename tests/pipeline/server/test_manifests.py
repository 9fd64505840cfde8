import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pipeline.engines.base import Failed
from pipeline.errors import Problem
from pipeline.events.listener import ManifestEnded, ManifestStarted
from pipeline.settings import Settings
from pipeline.stores.folder import FolderStore
from tests.conftest import make_png
from tests.pipeline.server.conftest import QUICK, Gate, Serve, Served

PAIR = {"content": "a.png", "style": "b.png"}


def upload_images(served: Served) -> None:
    for seed, name in enumerate(("a.png", "b.png")):
        assert served.client.put(f"/images/{name}", content=make_png(seed=seed)).status_code == 201


def ended(served: Served, name: str) -> None:
    served.listener.wait_for(ManifestEnded, lambda event: event.manifest == name)


def manifest(pairs: int = 1, **keys: Any) -> dict[str, Any]:
    return {"pairs": [{"id": f"p{n}", **PAIR} for n in range(pairs)], **keys}


def test_a_manifest_that_is_put_is_worked_on(served: Served) -> None:
    upload_images(served)
    answer = served.client.put("/manifests/m", json=manifest(2))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/manifests/m"
    assert answer.json()["state"] == "waiting"
    ended(served, "m")
    assert served.client.get("/manifests/m").json()["state"] == "done"
    assert served.client.get("/results/m/p1.png").status_code == 200


def test_a_name_that_no_client_can_give_does_not_disturb_the_lists(serve: Serve, tmp_path: Path) -> None:
    inbox, outbox = FolderStore(tmp_path / "in"), FolderStore(tmp_path / "out")
    inbox.make()
    outbox.make()
    for name in (b"caf\xe9", b"a\nb", b"plain"):
        inbox.write(os.fsdecode(name) + ".json", b"{}")
    served = serve(works=False, places=(inbox, outbox))
    served.hub.hear(ManifestStarted("caf\udce9", 1))
    found = served.client.get("/manifests").json()["manifests"]
    assert [each["name"] for each in found] == ["plain"]
    assert served.client.get("/progress").json()["manifests"] == []


def test_a_door_is_not_ready_while_the_outbox_is_gone(serve: Serve, tmp_path: Path) -> None:
    inbox, outbox = FolderStore(tmp_path / "in"), FolderStore(tmp_path / "out")
    inbox.make()
    served = serve(works=False, places=(inbox, outbox), timing=replace(QUICK, counted=0.0))
    assert served.client.get("/readyz").status_code == 503
    outbox.make()
    assert served.client.get("/readyz").status_code == 200


def test_a_manifest_that_is_posted_gets_a_new_name(serve: Serve) -> None:
    served = serve(works=False)
    places = [served.client.post("/manifests", json=PAIR).headers["location"] for _ in range(2)]
    assert places[0] != places[1]
    assert [served.client.get(place).json()["state"] for place in places] == ["waiting"] * 2


def test_each_picture_of_a_sweep_has_an_address_and_the_page_shows_them_as_a_grid(served: Served) -> None:
    upload_images(served)
    product = {"content": ["a.*"], "style": ["b.png"], "style_weight": [1e5, 1e6], "seed": [1, 2]}
    layers = {"style_layers": [{"relu1_1": 1, "relu2_1": 0.5}]}
    assert served.client.put("/manifests/m", json={"product": {**product, **layers}}).status_code == 201
    ended(served, "m")
    found = served.client.get("/manifests/m/pairs").json()["pairs"]
    ends = [
        f"style_weight={w}-seed={n}-style_layers=relu1_1,relu2_1x0.5" for w in ("1e5", "1e6") for n in (1, 2)
    ]
    assert [(pair["id"], pair["state"]) for pair in found] == [(f"a-b-{end}", "done") for end in ends]
    assert all(served.client.get(pair["picture"]).status_code == 200 for pair in found)
    assert '<th scope="row">' in served.client.get("/results/m/index.html").text


def test_a_sweep_with_too_many_pairs_is_refused(serve: Serve) -> None:
    served = serve(works=False)
    many = list(range(1000))
    product = {"content": ["*"], "style": ["*"], "seed": many, "style_weight": many, "tv_weight": many}
    answer = served.client.put("/manifests/m", json={"product": product})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["message"].startswith("gives 1000000000 pairs; a manifest may have")


def test_every_problem_of_a_manifest_is_told_with_its_place(serve: Serve) -> None:
    served = serve(works=False)
    pairs = [{**PAIR, "epochs": 0}, {"content": "a.png"}, {**PAIR, "stile": "b.png"}]
    answer = served.client.put("/manifests/m", json={"pairs": pairs})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert [error["place"] for error in answer.json()["errors"]] == [
        "pairs[0].epochs",
        "pairs[1]",
        "pairs[2].stile",
    ]
    assert "did you mean 'style'?" in answer.json()["errors"][2]["message"]
    assert served.files() == []


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"pairs": [', "not valid JSON"),
        ("[]", "a manifest is a JSON object"),
        ("", "the file is empty"),
        ('{"content": "../a.png", "style": "b.png"}', "lies outside"),
        ('{"content": "/etc/passwd", "style": "b.png"}', "lies outside"),
        ('{"content": "http://a/b.png", "style": "b.png"}', "nothing is fetched from the web"),
        ('{"product": {"content": ["*.png"], "style": ["b.png"]}}', "no image matches"),
        ("[" * 10_000, "nested too deeply"),
    ],
)
def test_a_document_that_is_no_manifest_is_refused(serve: Serve, document: str, message: str) -> None:
    served = serve(works=False)
    headers = {"Content-Type": "application/json"}
    answer = served.client.put("/manifests/m", content=document, headers=headers)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert served.files() == []


def test_caps_of_the_operator_hold_for_manifests(serve: Serve) -> None:
    served = serve(works=False, settings=Settings(port=0, most_pairs=1))
    assert "NST_MOST_PAIRS" in served.client.post("/manifests", json=manifest(2)).json()["detail"]


def test_a_name_that_waits_already_is_refused_and_one_that_is_worked_on_is_not(
    serve: Serve, gate: Gate
) -> None:
    served = serve(before=gate)
    upload_images(served)
    assert served.client.put("/manifests/m", json=manifest()).status_code == 201
    assert gate.reached.wait(60)
    assert served.client.put("/manifests/m", json=manifest(2)).status_code == 201
    answer = served.client.put("/manifests/m", json=manifest(3))
    assert (answer.status_code, answer.json()["detail"]) == (
        409,
        "m: a manifest of this name waits already",
    )


@pytest.mark.parametrize(
    "name", ["..", ".hidden", "a%0d%0ab", "a%00b", "nul", "x" * 200, "m.error", "a%5cb", "%20"]
)
def test_a_manifest_cannot_have_an_unusable_name(serve: Serve, name: str) -> None:
    served = serve(works=False)
    answer = served.client.put(f"/manifests/{name}", json=PAIR)
    assert 400 <= answer.status_code < 500
    assert served.files() == []


def test_the_counts_of_a_manifest_that_is_worked_on_are_shown(serve: Serve) -> None:
    gate = Gate()
    served = serve(before=lambda task: gate(task) if task.pair.id == "p1" else None)
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(3))
    assert gate.reached.wait(60)
    found = served.client.get("/manifests/m").json()
    other = serve(works=False, at=served).client.get("/manifests/m").json()
    gate.opened.set()
    assert (found["state"], found["pairs"], found["done"], found["failed"]) == ("processing", 3, 1, 0)
    assert (other["state"], other["pairs"], other["done"]) == ("processing", 3, 1)


def test_a_failed_manifest_shows_its_errors_and_can_be_retried(serve: Serve) -> None:
    outcomes = [Problem("pairs[0]", "broken", "p0")]
    served = serve(before=lambda task: Failed(task, outcomes.pop()) if outcomes else None)
    upload_images(served)
    served.client.put("/manifests/m", json=manifest())
    ended(served, "m")
    found = served.client.get("/manifests/m").json()
    assert found["errors"] == [{"place": "pairs[0]", "message": "broken", "id": "p0"}]
    assert served.client.post("/manifests/m/retry").status_code == 200
    served.listener.wait_for(ManifestEnded, lambda event: event.problems == 0)
    assert served.client.get("/manifests/m").json()["state"] == "done"
    assert served.client.post("/manifests/m/retry").status_code == 409


def test_of_many_errors_some_are_shown_and_those_of_the_whole_manifest_are_among_them(serve: Serve) -> None:
    served = serve(works=False)
    errors = [{"place": "product", "message": "no such file", "id": f"p{n}"} for n in range(500)]
    errors.append({"place": "", "message": "a later runner has found more"})
    served.inbox.write("failed/m.json", b"{}")
    served.inbox.write("failed/m.error.json", json.dumps({"errors": errors}).encode())
    found = served.client.get("/manifests/m").json()
    assert (len(found["errors"]), found["error_count"]) == (101, 501)
    assert found["errors"][0]["message"] == "a later runner has found more"
    shown = served.client.get("/manifests/m/pairs", params={"state": "failed", "limit": 1}).json()
    assert shown["counts"]["failed"] == 500


def test_a_waiting_manifest_whose_suffix_is_in_upper_case_can_be_seen_and_cancelled(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("m.JSON", json.dumps(manifest(2)).encode())
    assert served.client.get("/manifests/m").json()["state"] == "waiting"
    assert served.client.get("/manifests/m/pairs").json()["counts"] == {"waiting": 2}
    assert served.client.delete("/manifests/m").json()["state"] == "failed"


def test_a_manifest_that_waits_can_be_cancelled(serve: Serve) -> None:
    served = serve(works=False)
    served.client.put("/manifests/m", json=manifest())
    answer = served.client.delete("/manifests/m")
    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["errors"][0]["message"]) == ("failed", "cancelled by hand")
    assert served.client.delete("/manifests/m").status_code == 409


def test_a_manifest_that_is_worked_on_can_be_cancelled(serve: Serve, gate: Gate) -> None:
    served = serve(before=gate)
    upload_images(served)
    served.client.put("/manifests/m", json=manifest())
    assert gate.reached.wait(60)
    assert served.client.delete("/manifests/m").json()["state"] == "failed"
    gate.opened.set()
    assert served.client.get("/manifests/m").json()["state"] == "failed"


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("DELETE", ""), ("POST", "/retry")])
@pytest.mark.parametrize("name", ["m", "..%2fm", "%2e%2e", "a%00b"])
def test_an_unknown_manifest_is_404(served: Served, method: str, path: str, name: str) -> None:
    answer = served.client.request(method, f"/manifests/{name}{path}")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")


def test_the_list_has_pages_and_counts(serve: Serve) -> None:
    served = serve(works=False)
    for name in ("a", "b", "c"):
        served.inbox.write(f"{name}.json", b"{}")
        served.inbox.write(f"done/{name} {name}.json", b"{}")
    served.inbox.write("failed/x.json", b"{}")
    served.inbox.write("failed/x.error.json", b"{}")
    names, place = [], "/manifests?limit=2"
    while place:
        found = served.client.get(place).json()
        assert found["counts"] == {"waiting": 3, "processing": 0, "done": 3, "failed": 1}
        names += [(entry["state"], entry["name"]) for entry in found["manifests"]]
        place = found["next"]
    assert names == [
        *(("waiting", name) for name in "abc"),
        *(("done", f"{name} {name}") for name in "abc"),
        ("failed", "x"),
    ]
    only = served.client.get("/manifests", params={"state": "done", "limit": 1}).json()
    assert [entry["name"] for entry in only["manifests"]] == ["a a"]
    assert "state=done" in only["next"]


def test_a_manifest_needs_the_type_of_json(serve: Serve) -> None:
    served = serve(works=False)
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        headers = {"Content-Type": kind}
        answer = served.client.post("/manifests", content=json.dumps(PAIR), headers=headers)
        assert answer.status_code == 415
    assert served.files() == []


@pytest.mark.parametrize("name", ["日本", "a%41", "it’s #1"])
def test_the_address_of_a_manifest_with_any_name_leads_to_it(serve: Serve, name: str) -> None:
    served = serve(works=False)
    answer = served.client.put(f"/manifests/{quote(name)}", json=PAIR)
    assert answer.status_code == 201
    found = served.client.get(answer.headers["location"]).json()
    assert (found["name"], found["state"]) == (name, "waiting")
    assert found["results"] == answer.json()["results"] == f"/results/{quote(name)}/"


def test_a_name_that_ends_like_a_file_is_not_that_of_another_manifest(serve: Serve) -> None:
    served = serve(works=False)
    for name in ("a", "a.json"):
        assert served.client.put(f"/manifests/{name}", json=PAIR).status_code == 201
    assert served.client.delete("/manifests/a.json").json()["state"] == "failed"
    assert served.client.get("/manifests/a").json()["state"] == "waiting"
    served.client.delete("/manifests/a")
    assert served.client.post("/manifests/a.json/retry").json()["state"] == "waiting"
    assert served.client.get("/manifests/a").json()["state"] == "failed"


def test_results_of_pairs_that_a_manifest_has_no_more_are_not_counted(serve: Serve) -> None:
    served = serve(works=False)
    for pair in ("p0", "earlier", "earliest"):
        for suffix in ("json", "png"):
            served.outbox.write(f"m/{pair}.{suffix}", b"")
    served.inbox.write("processing/m.json", json.dumps(manifest(3)).encode())
    found = served.client.get("/manifests/m").json()
    assert (found["done"], found["pairs"]) == (1, 3)
