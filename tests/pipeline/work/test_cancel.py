"""Real runners whose manifests are cancelled or deleted, or that get a new manifest, while they work."""

import json
import subprocess
from collections.abc import Callable

import pytest

from tests.conftest import COMMAND
from tests.pipeline.box import Box
from tests.process import Runner

QUICK = {"content": "a.png", "style": "b.png", "epochs": 1}
ENDLESS = {**QUICK, "epochs": 1000}
LIMIT = 10**6


@pytest.fixture(params=["folder_box", "bucket_box"])
def box(request: pytest.FixtureRequest) -> Box:
    make: Callable[[], Box] = request.getfixturevalue(request.param)
    made = make()
    made.fill([])
    return made


def endpoint(box: Box) -> list[str]:
    return ["--endpoint-url", box.endpoint_url] if box.endpoint_url else []


def watch(box: Box, scan: float = 2.0) -> Runner:
    arguments = ["watch", "--inbox", box.inbox.url, "--outbox", box.outbox.url, *endpoint(box)]
    timing = {"settled": 0.0, "scan": scan, "scan_bucket": scan}
    return Runner(*arguments, timing=timing, engine="lasting")


def call(command: str, box: Box) -> None:
    done = subprocess.run(
        [*COMMAND, command, "--inbox", box.inbox.url, *endpoint(box), "m"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def drop(box: Box, name: str, *pairs: dict[str, object]) -> None:
    listed = [{"id": f"p{number}", **pair} for number, pair in enumerate(pairs)]
    box.inbox.write(f"{name}.json", json.dumps({"pairs": listed}).encode())


def test_a_cancelled_manifest_is_moved_to_failed_and_retry_continues_it(box: Box) -> None:
    drop(box, "m", QUICK, ENDLESS)
    with watch(box) as runner:
        runner.wait_for_all({"event": "pair done"}, {"event": "pair started", "pair": "p1"})
        call("cancel", box)
        left = runner.wait_for_any()
        assert left["level"] == "warning"
        assert left["event"].endswith("processing/m.json was moved or deleted; work on it stops")
        assert box.names("failed") == {"m.json", "m.error.json"}
        (error,) = json.loads(box.inbox.read("failed/m.error.json", LIMIT))["errors"]
        assert error == {"message": "cancelled by hand"}
        assert box.results("m") == ["m/p0"]

        drop(box, "next", QUICK)  # the device is free again
        runner.wait_for("manifest done", manifest="next")

        box.inbox.write("failed/m.json", json.dumps({"pairs": [{**QUICK, "id": "p0"}]}).encode())
        call("retry", box)
        assert runner.wait_for("pair done already")["pair"] == "p0"
        runner.wait_for("manifest done", manifest="m")
    assert not box.left()


def test_deleting_a_manifest_stops_the_work_on_it(box: Box) -> None:
    drop(box, "m", ENDLESS)
    with watch(box) as runner:
        runner.wait_for("pair started")
        box.inbox.remove("processing/m.json")
        left = runner.wait_for_any()
        assert left["event"].endswith("processing/m.json was moved or deleted; work on it stops")
        drop(box, "next", QUICK)
        runner.wait_for("manifest done", manifest="next")
    assert box.names("done") == {"next.json"}
    assert box.results("m") == []


def test_a_small_manifest_is_done_before_a_large_one_that_started_earlier(
    folder_box: Callable[[], Box],
) -> None:
    box = folder_box()
    box.fill([])
    pairs: list[dict[str, object]] = [{**QUICK, "seed": seed} for seed in range(30)]
    drop(box, "large", *pairs)
    with watch(box, scan=0.05) as runner:
        runner.wait_for("pair done")
        drop(box, "small", QUICK)
        runner.wait_for("manifest done", manifest="small")
        assert runner.count("pair done") < 30
        runner.wait_for("manifest done", manifest="large")
