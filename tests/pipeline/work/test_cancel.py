"""Real runners whose manifests are cancelled or deleted, or that get a new manifest, while they work."""

import json
from collections.abc import Callable

import pytest

from tests.pipeline.box import Box
from tests.pipeline.calling import Call
from tests.process import Runner

QUICK, ENDLESS = {"epochs": 1}, {"epochs": 1000}
LIMIT = 10**6


@pytest.fixture(params=["folder_box", "bucket_box"])
def box(request: pytest.FixtureRequest) -> Box:
    make: Callable[[], Box] = request.getfixturevalue(request.param)
    made = make()
    made.fill([])
    return made


def watch(box: Box, scan: float = 2.0) -> Runner:
    return box.watch(timing={"settled": 0.0, "scan": scan, "scan_bucket": scan}, engine="lasting")


def test_a_cancelled_manifest_is_moved_to_failed_and_retry_continues_it(box: Box, call: Call) -> None:
    box.drop("m", QUICK, ENDLESS)
    with watch(box) as runner:
        runner.wait_for_all({"event": "pair done"}, {"event": "pair started", "pair": "p1"})
        assert call("cancel", *box.places, "m")[0] == 0
        left = runner.wait_for_any()
        assert left["level"] == "warning"
        assert left["event"].endswith("processing/m.json was moved or deleted; work on it stops")
        assert box.names("failed") == {"m.json", "m.error.json"}
        (error,) = json.loads(box.inbox.read("failed/m.error.json", LIMIT))["errors"]
        assert error == {"message": "cancelled by hand"}
        assert box.results("m") == ["m/p0"]

        box.drop("next", QUICK)  # the device is free again
        runner.wait_for("manifest done", manifest="next")

        box.drop("failed/m", QUICK)
        assert call("retry", *box.places, "m")[0] == 0
        assert runner.wait_for("pair done already")["pair"] == "p0"
        runner.wait_for("manifest done", manifest="m")
    assert not box.left()


def test_deleting_a_manifest_stops_the_work_on_it(box: Box) -> None:
    box.drop("m", ENDLESS)
    with watch(box) as runner:
        runner.wait_for("pair started")
        box.inbox.remove("processing/m.json")
        left = runner.wait_for_any()
        assert left["event"].endswith("processing/m.json was moved or deleted; work on it stops")
        box.drop("next", QUICK)
        runner.wait_for("manifest done", manifest="next")
    assert box.names("done") == {"next.json"}
    assert box.results("m") == []


def test_a_small_manifest_is_done_before_a_large_one_that_started_earlier(
    folder_box: Callable[[], Box],
) -> None:
    box = folder_box()
    box.fill([])
    box.drop("large", *({**QUICK, "seed": seed} for seed in range(30)))
    with watch(box, scan=0.05) as runner:
        runner.wait_for("pair done")
        box.drop("small", QUICK)
        runner.wait_for("manifest done", manifest="small")
        assert runner.count("pair done") < 30
        runner.wait_for("manifest done", manifest="large")
