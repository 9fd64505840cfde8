"""Four runners, each a process, share one prefix on a real S3 server."""

import json
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

from manifests.demo_s3 import BUCKET
from pipeline.stores.aws import connect
from pipeline.stores.s3 import S3Store
from tests.conftest import FAKE_COMMAND, make_png

RUNNERS, MANIFESTS = 4, 16


def test_each_manifest_is_processed_by_exactly_one_of_four_runners(seaweed: str, tmp_path: Path) -> None:
    client, run = connect("s3", seaweed), uuid4().hex
    inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
    inbox.write("a.png", make_png(16, 16))
    names = {f"{number:03}" for number in range(MANIFESTS)}
    for name in names:
        pair = {"content": "a.png", "style": "a.png", "seed": int(name)}
        inbox.write(f"{name}.json", json.dumps(pair).encode())

    command = [*FAKE_COMMAND, "watch", "--once"]
    command += ["--inbox", inbox.url, "--outbox", outbox.url, "--endpoint-url", seaweed]
    logs = [tmp_path / f"{number}.log" for number in range(RUNNERS)]
    with ExitStack() as stack:
        outs = [stack.enter_context(log.open("w")) for log in logs]
        runners = [subprocess.Popen(command, stdout=out) for out in outs]
        assert [runner.wait(timeout=300) for runner in runners] == [0] * RUNNERS

    events = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    # Count the events, because files in the outbox do not show whether a pair was computed twice.
    for event in ("pair started", "pair done", "manifest done"):
        assert counted(events, event) == Counter(names)
    assert {entry.name.removesuffix(".json") for entry in inbox.entries("done")} == names
    assert not [
        e for folder in ("", "processing", "failed") for e in inbox.entries(folder) if "json" in e.name
    ]
    assert (
        sum(bool(log.read_text().count("manifest done")) for log in logs) > 1
    )  # more than one runner got work


def counted(events: list[dict[str, Any]], event: str) -> Counter[str]:
    return Counter(found["manifest"] for found in events if found["event"] == event)
