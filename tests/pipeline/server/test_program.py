"""The real program as a process, and curl as its client."""

import json
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.conftest import make_picture
from tests.pipeline.calling import Call
from tests.pipeline.server.conftest import FORM
from tests.process import Runner, free_port

LINE = (
    'curl -X POST "http://localhost:5002/stylize" -F "content_image=@content.jpg" '
    '-F "style_image=@style.jpg" -o out.png'
)
FIELDS = '-F "epochs=20" -F "content_weight=1.0" -F "style_weight=500000.0"'
Start = Callable[..., tuple[Runner, str]]
Post = Callable[[str, str], tuple[Path, dict[str, Any]]]


@pytest.fixture
def places(tmp_path: Path) -> list[str | Path]:
    for name in ("inbox", "outbox"):
        (tmp_path / name).mkdir()
    return ["--inbox", tmp_path / "inbox", "--outbox", tmp_path / "outbox"]


@pytest.fixture
def start(places: list[str | Path]) -> Iterator[Start]:
    """A function that starts the program; the runner, and the URL of its door once it can be used."""
    runners: list[Runner] = []

    def make(*options: str, engine: str = "fake") -> tuple[Runner, str]:
        runners.append(Runner("serve", *places, "--port", "0", *options, engine=engine))
        url = runners[-1].wait_for("serving")["url"]
        return runners[-1], url

    yield make
    for runner in runners:
        runner.kill()


@pytest.fixture
def post(places: list[str | Path], tmp_path: Path) -> Post:
    """A function that runs such a line with an engine; the file `out.png`, and the record's parameters."""

    def post(line: str, engine: str) -> tuple[Path, dict[str, Any]]:
        for seed, name in enumerate(("content.jpg", "style.jpg")):
            make_picture(32, 24, seed).save(tmp_path / name)
        port = str(free_port())
        with Runner("serve", *places, "--port", port, engine=engine) as runner:
            runner.wait_for("watching")
            arguments = shlex.split(line.replace("5002", port))
            subprocess.run([*arguments, "--fail", "--silent", "--show-error"], cwd=tmp_path, check=True)
            record = json.loads(next((tmp_path / "outbox").glob("*/picture.json")).read_text())
        return tmp_path / "out.png", record["parameters"]

    return post


def test_the_line_that_the_method_is_known_by_gives_a_picture(post: Post) -> None:
    out, parameters = post(LINE, "local")
    with Image.open(out) as picture:
        assert (picture.size, picture.format) == ((32, 24), "PNG")
        assert len(set(picture.convert("L").tobytes())) > 10  # it is not of one colour
    assert (parameters["epochs"], parameters["style_weight"]) == (10, 1e6)


def test_the_fields_of_the_method_become_parameters(post: Post) -> None:
    out, parameters = post(LINE.replace("-o ", f"{FIELDS} -o "), "fake")
    assert out.read_bytes().startswith(b"\x89PNG")
    assert (parameters["epochs"], parameters["style_weight"]) == (20, 5e5)


def test_it_is_ready_when_the_engine_has_started(start: Start) -> None:
    runner, url = start()
    assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
    runner.wait_for("watching")
    assert httpx.get(f"{url}/readyz").json() == {"status": "ready"}


def test_a_door_alone_hands_work_to_a_runner_elsewhere(start: Start, places: list[str | Path]) -> None:
    _, url = start("--no-work")
    with Runner("watch", *places, engine="fake") as runner:
        runner.wait_for("watching")
        answer = httpx.post(f"{url}/stylize", files=FORM, timeout=60)
        assert answer.status_code == 200
        assert httpx.get(f"{url}{answer.headers['location']}").json()["state"] == "done"


def test_a_request_is_answered_when_the_program_is_stopped_and_its_job_is_kept(
    start: Start, places: list[str | Path]
) -> None:
    runner, url = start("--no-work")
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(httpx.post(f"{url}/stylize", files=FORM, timeout=60))
    )
    waiting.start()
    inbox = Path(places[1])
    while not list(inbox.glob("request-*.json")):
        assert waiting.is_alive()
        waiting.join(0.01)
    runner.process.send_signal(signal.SIGTERM)
    assert runner.finish() == 128 + signal.SIGTERM
    waiting.join()
    assert [answer.status_code for answer in answers] == [202]
    with Runner("watch", "--once", *places, engine="fake") as later:
        assert later.finish() == 0
    name = answers[0].headers["location"].removeprefix("/jobs/")
    assert (inbox / "done" / f"{name}.json").exists()


@pytest.mark.parametrize("options", [[], ["--no-work"]])
def test_it_ends_at_a_signal_while_clients_keep_connections_open(start: Start, options: list[str]) -> None:
    runner, url = start(*options)
    with httpx.Client(base_url=url) as client, client.stream("GET", "/events") as stream:
        assert client.get("/healthz").status_code == 200
        runner.process.send_signal(signal.SIGTERM)
        assert runner.finish() == 128 + signal.SIGTERM
        assert list(stream.iter_lines())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--host", "0.0.0.0"], "--token-file FILE"),
        (["--port", "70000"], "--port: should be less than or equal to 65535"),
        (["--token-file", "nothing"], "can't be read"),
        (["--max-upload", "0"], "--max-upload"),
        (["--host", "203.0.113.1", "--trust-network"], "can't listen at 203.0.113.1"),
    ],
)
def test_wrong_usage_is_reported_at_once(
    call_fake: Call, places: list[str | Path], options: list[str], message: str
) -> None:
    code, output = call_fake("serve", *places, *options)
    assert code == 2
    assert message in output


def test_a_port_in_use_is_reported(call_fake: Call, places: list[str | Path]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        code, output = call_fake("serve", *places, "--port", port)
    assert code == 2
    assert f"can't listen at 127.0.0.1, port {port}" in output


def test_a_variable_that_kubernetes_sets_is_no_port(
    monkeypatch: pytest.MonkeyPatch, call_fake: Call, places: list[str | Path]
) -> None:
    monkeypatch.setenv("NST_PORT", "tcp://10.0.0.1:80")
    code, output = call_fake("serve", *places, "--host", "203.0.113.1", "--trust-network")
    assert (code, "port 5002" in output) == (2, True)


def test_a_missing_package_is_named_and_another_error_of_an_import_is_not_called_one(
    places: list[str | Path], call_fake: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pipeline.serve", "pipeline.server.app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "fastapi", None)  # as if it were not installed
        code, text = call_fake("serve", *places)
        assert (code, "packages that are not installed (fastapi)" in text) == (2, True)
    monkeypatch.setitem(sys.modules, "pipeline.server.bodies", None)
    with pytest.raises(ModuleNotFoundError, match="bodies"):
        call_fake("serve", *places)
