"""The pairs of a manifest, and what the runner of a door works on."""

import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest

from pipeline.engines.base import Failed, Outcome, Task
from pipeline.errors import Problem
from pipeline.events.listener import ManifestEnded
from tests.conftest import make_png
from tests.pipeline.server.conftest import QUICK, Gate, Serve, Served
from tests.pipeline.server.test_events import stream, until
from tests.pipeline.server.test_manifests import manifest, upload_images
from tests.pipeline.server.test_page_form import evaluated

PATTERNS = {"product": {"content": ["photos/*.png"], "style": ["photos/a.png"]}}


def pairs(served: Served, name: str = "m", **query: Any) -> dict[str, Any]:
    found: dict[str, Any] = served.client.get(f"/manifests/{name}/pairs", params=query).json()
    return found


def states(served: Served, **query: Any) -> list[tuple[str, str]]:
    return [(each["id"], each["state"]) for each in pairs(served, **query)["pairs"]]


def held(serve: Serve, gate: Gate) -> Served:
    """A door that has done one pair of four, has failed with one, and computes one."""

    def before(task: Task) -> Outcome | None:
        if task.pair.id == "p1":
            return Failed(task, Problem("pairs[1]", "broken; replace it", "p1"))
        if task.pair.id == "p2":
            gate(task)
        return None

    served = serve(before=before)
    upload_images(served)
    served.client.put("/manifests/m", json=manifest(4))
    assert gate.reached.wait(60)
    return served


def test_each_pair_has_its_state_while_a_manifest_is_worked_on(serve: Serve, gate: Gate) -> None:
    served = held(serve, gate)
    assert states(served) == [("p0", "done"), ("p1", "failed"), ("p2", "waiting"), ("p3", "waiting")]
    found = pairs(served)
    assert (found["state"], found["counts"]) == ("processing", {"done": 1, "failed": 1, "waiting": 2})
    assert [pair["finished"] is not None for pair in found["pairs"]] == [True, False, False, False]
    assert found["pairs"][0]["picture"] == "/results/m/p0.png"
    assert (found["pairs"][1]["place"], found["pairs"][1]["message"]) == ("pairs[1]", "broken; replace it")
    # Another process knows what the stores have.
    assert states(serve(works=False, at=served))[:2] == [("p0", "done"), ("p1", "waiting")]


def test_a_pair_that_is_computed_has_its_progress(serve: Serve, gate: Gate) -> None:
    served = held(serve, gate)
    evaluated(served, "m", 50, "p2")
    running = pairs(served, state="running")["pairs"]
    assert [(each["id"], each["step"], each["steps"]) for each in running] == [("p2", 50, 200)]
    found = served.client.get("/progress").json()
    assert found["manifests"] == [{"name": "m", "pairs": 4, "done": 1, "failed": 1}]
    assert found["running"] == [{"manifest": "m", "pair": "p2", "step": 50, "steps": 200, "total": 2.0}]
    with stream(served) as events:
        gate.opened.set()
        until(events, "manifest failed")
    found = served.client.get("/progress").json()
    assert (found["works"], found["ready"], found["manifests"], found["running"]) == (True, True, [], [])


def test_pairs_of_a_manifest_that_has_failed_have_their_errors(serve: Serve, gate: Gate) -> None:
    served = held(serve, gate)
    gate.opened.set()
    served.listener.wait_for(ManifestEnded)
    expected = {"p0": "done", "p1": "failed", "p2": "done", "p3": "done"}
    assert dict(states(served)) == expected
    assert dict(states(serve(works=False, at=served))) == expected
    assert states(served, state="failed") == [("p1", "failed")]


def test_pairs_of_patterns_are_listed_while_they_wait(serve: Serve) -> None:
    served = serve(works=False)
    for seed, name in enumerate(("a", "b", "c")):
        served.client.put(f"/images/photos/{name}.png", content=make_png(seed=seed))
    served.client.put("/manifests/m", json=PATTERNS)
    served.inbox.calls.clear()
    assert states(served) == [(f"{name}-a", "waiting") for name in "abc"]
    assert states(served) == [(f"{name}-a", "waiting") for name in "abc"]
    assert sum(verb == "glob" for verb, _ in served.inbox.calls) <= 1  # the patterns are searched once


@pytest.mark.parametrize("name", ["m", "a?b#c", "a%41", "ä b"])
def test_pairs_come_in_parts(serve: Serve, name: str) -> None:
    served = serve(works=False)
    served.inbox.write(f"{name}.json", json.dumps(manifest(5)).encode())
    found, place = [], f"/manifests/{quote(name)}/pairs?limit=2&state=waiting"
    while place:
        part = served.client.get(place).json()
        assert part["counts"] == {"waiting": 5}
        found.append([each["id"] for each in part["pairs"]])
        place = part["next"]
    assert found == [["p0", "p1"], ["p2", "p3"], ["p4"]]


def test_pairs_of_patterns_are_searched_again_after_a_while(serve: Serve) -> None:
    served = serve(works=False, timing=replace(QUICK, listing=0.0))
    served.inbox.write("m.json", json.dumps(PATTERNS).encode())
    for name in ("a", "b"):
        served.inbox.write(f"photos/{name}.png", make_png())
        assert states(served)[-1] == (f"{name}-a", "waiting")


def test_pairs_of_patterns_are_found_after_a_search_without_a_match(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("m.json", json.dumps(PATTERNS).encode())
    assert states(served) == []
    served.inbox.write("photos/a.png", make_png())
    assert states(served) == [("a-a", "waiting")]


def test_pairs_after_one_that_is_not_there_any_more_are_refused(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("m.json", json.dumps(manifest(5)).encode())
    following = pairs(served, limit=2)["next"]
    served.client.delete("/manifests/m")
    answer = served.client.get(following)
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert "begin again without 'after'" in answer.json()["detail"]


def test_a_manifest_that_is_not_valid_has_no_pairs(serve: Serve) -> None:
    served = serve(works=False)
    served.inbox.write("m.json", b"{")
    assert (pairs(served)["state"], pairs(served)["pairs"]) == ("waiting", [])


@pytest.mark.parametrize("name", ["m", "..%2fm", "a%00b"])
def test_an_unknown_manifest_has_no_pairs(served: Served, name: str) -> None:
    assert served.client.get(f"/manifests/{name}/pairs").status_code == 404


def test_a_door_without_a_runner_works_on_nothing(serve: Serve) -> None:
    found = serve(works=False).client.get("/progress").json()
    assert found == {"works": False, "ready": False, "manifests": [], "running": []}
