"""Metrics in a file and by HTTP, from the program as a process."""

import json
import queue
import shutil
import signal
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.events.export import MetricsFile
from pipeline.settings import load_settings
from tests.pipeline.calling import Call
from tests.pipeline.events.samples import samples
from tests.process import Runner

HOUR = {"metrics_file": 3600.0}


@pytest.fixture
def inbox(folder: Path) -> Path:
    """An inbox with a manifest of two pairs."""
    pairs = [{"id": f"p{n}", "content": "content.png", "style": "style.png", "seed": n} for n in range(2)]
    inbox = folder / "inbox"
    inbox.mkdir()
    for name in ("content.png", "style.png"):
        shutil.copy(folder / name, inbox)
    (inbox / "m.json").write_text(json.dumps({"pairs": pairs, "defaults": {"epochs": 1, "max_size": 48}}))
    return inbox


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A place for metrics in a folder that exists."""
    (tmp_path / "textfiles").mkdir()
    return tmp_path / "textfiles" / "nst.prom"


def get(url: str) -> tuple[str, dict[str, float]]:
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.headers["Content-Type"], samples(answer.read())


def test_run_leaves_a_file_with_its_last_metrics(inbox: Path, file: Path, tmp_path: Path) -> None:
    arguments = ("run", inbox / "m.json", "--outbox", tmp_path / "out", "--metrics-file", file)
    with Runner(*arguments, timing=HOUR, engine="fake") as runner:
        assert runner.finish() == 0
    found = samples(file.read_bytes())
    assert found['nst_pairs_total{outcome="done"}'] == 2
    assert found['nst_manifests_total{outcome="done"}'] == 1
    assert found["nst_batch_pairs"] == found["nst_device_busy_ratio"] == 0
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_watch_serves_metrics_on_this_machine_only_until_it_is_stopped(
    inbox: Path, file: Path, tmp_path: Path
) -> None:
    arguments = ("watch", "--inbox", inbox, "--outbox", tmp_path / "out", "--metrics-port", "0")
    with Runner(*arguments, "--metrics-file", file, timing=HOUR, engine="fake") as runner:
        url = runner.wait_for("serving metrics")["url"]
        assert url.startswith("http://127.0.0.1:")
        port = int(url.split(":")[2].split("/")[0])
        runner.wait_for("manifest done")
        content_type, found = get(url)
        assert content_type.startswith("text/plain; version=")
        assert found['nst_pairs_total{outcome="done"}'] == 2
        assert found['nst_manifests_total{outcome="done"}'] == 1
        assert 'nst_inbox_manifests{state="waiting"}' in found
        # Linux sends all of 127.0.0.0/8 to this machine; a server at 0.0.0.0 would answer here.
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.2", port), timeout=60)
        runner.process.send_signal(signal.SIGTERM)
        assert runner.finish() == 128 + signal.SIGTERM
    with pytest.raises(urllib.error.URLError):
        get(url)
    assert samples(file.read_bytes())['nst_pairs_total{outcome="done"}'] == 2


def test_a_process_whose_work_is_abandoned_writes_the_file_before_it_ends(
    inbox: Path, file: Path, tmp_path: Path
) -> None:
    arguments = ("watch", "--inbox", inbox, "--outbox", tmp_path / "out", "--metrics-file", file)
    with Runner(*arguments, "--metrics-port", "0", timing=HOUR, engine="stuck") as runner:
        url = runner.wait_for("serving metrics")["url"]
        runner.wait_for("manifest started")
        while get(url)[1]["nst_batch_pairs"] == 0:  # until the device is stuck
            assert runner.process.poll() is None
        runner.process.send_signal(signal.SIGTERM)
        assert runner.finish() == 128 + signal.SIGTERM
    assert samples(file.read_bytes())['nst_manifests_total{outcome="left"}'] == 1


def test_a_client_that_breaks_off_or_sends_nonsense_is_no_fault(
    inbox: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = ("watch", "--inbox", inbox, "--outbox", tmp_path / "out", "--metrics-port", "0")
    with Runner(*arguments, engine="fake") as runner:
        url = runner.wait_for("serving metrics")["url"]
        port = int(url.split(":")[2].split("/")[0])
        for nonsense in (b"GET /metr", b"\x00\xff\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000):
            with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
                # A reset, as some clients end a connection.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
                client.sendall(nonsense)
        assert get(url)[1]["nst_claims_lost_total"] == 0
        runner.process.send_signal(signal.SIGTERM)
        assert runner.finish() == 128 + signal.SIGTERM
    assert capfd.readouterr().err == ""


class Text:
    """The content of a file, a new one each time."""

    def __init__(self) -> None:
        self._number, self._asked = 0, threading.Condition()

    def __call__(self) -> bytes:
        with self._asked:
            self._number += 1
            self._asked.notify_all()
            return b"%d\n" % self._number * 10_000

    def wait(self, tries: int) -> None:
        """Wait until so many tries to write it have begun and ended."""
        with self._asked:
            last = self._number + tries + 1  # when it begins, the one before has ended
            assert self._asked.wait_for(lambda: self._number > last, timeout=60)


Open = Callable[[Path, Text], "queue.SimpleQueue[str]"]


@pytest.fixture
def open_file() -> Iterator[Open]:
    """A function that opens a file that is written all the time, and returns the queue of its warnings."""
    files = []

    def opened(path: Path, text: Text) -> "queue.SimpleQueue[str]":
        warnings: queue.SimpleQueue[str] = queue.SimpleQueue()
        files.append(MetricsFile(path, text, 0.001, warnings.put))
        return warnings

    yield opened
    for each in files:
        each.close()


def test_a_reader_never_sees_a_part_of_the_file(file: Path, open_file: Open) -> None:
    text = Text()
    open_file(file, text)
    with file.open("rb") as opened:
        first = opened.read(2)
        text.wait(20)
        assert opened.read() == (first * 10_000)[2:]  # the file that was opened has not been changed
    later = file.read_bytes()
    assert later == later[: later.index(b"\n") + 1] * 10_000
    assert int(later.split()[0]) > 1


def test_a_fault_of_the_file_is_reported_when_it_begins_and_the_file_is_written_again_afterwards(
    file: Path, open_file: Open
) -> None:
    text = Text()
    warnings = open_file(file, text)
    away = file.parent.with_name("away")
    for _ in range(2):
        file.parent.rename(away)
        warning = warnings.get(timeout=60)
        assert warning == f"{file}: metrics can't be written there (No such file or directory); trying again"
        text.wait(20)
        assert warnings.empty()
        away.rename(file.parent)
        before = file.read_bytes()
        text.wait(2)
        assert file.read_bytes() != before


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none/nst.prom", "No such file or directory"), (".", "Is a directory")],
)
def test_a_file_that_cannot_be_written_is_wrong_usage(
    inbox: Path, call_fake: Call, tmp_path: Path, name: str, reason: str
) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / name
    code, text = call_fake("run", inbox / "m.json", "--outbox", tmp_path / "out", "--metrics-file", path)
    assert (code, text) == (
        2,
        f"nst-pipeline: {path}: metrics can't be written there ({reason}); choose another file\n",
    )
    assert not [*(tmp_path / "out").iterdir(), *tmp_path.glob("**/*.tmp")]


def test_a_port_that_is_taken_is_wrong_usage(inbox: Path, call_fake: Call, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = ("--metrics-port", port, "--metrics-file", tmp_path / "nst.prom")
        code, text = call_fake("run", inbox / "m.json", "--outbox", tmp_path / "out", *options)
    place = f"127.0.0.1:{port}"
    message = f"metrics can't be served at {place} (Address already in use); choose another port"
    assert (code, text) == (2, f"nst-pipeline: {message}\n")


def test_a_host_that_is_not_this_machine_is_wrong_usage(inbox: Path, call_fake: Call, tmp_path: Path) -> None:
    options = ("--metrics-port", "192.0.2.1:0")
    code, text = call_fake("run", inbox / "m.json", "--outbox", tmp_path / "out", *options)
    assert code == 2
    assert text.startswith("nst-pipeline: metrics can't be served at 192.0.2.1:0 (")
    assert text.endswith("); choose another port\n")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("9464", ("127.0.0.1", 9464)),
        ("0.0.0.0:9464", ("0.0.0.0", 9464)),
        ("runner-1.example:80", ("runner-1.example", 80)),
        ("[::1]:9464", ("::1", 9464)),
        ("", None),
        ("tcp://10.0.0.1:80", None),  # as Kubernetes sets the variable
    ],
)
def test_the_port_may_have_a_host(
    monkeypatch: pytest.MonkeyPatch, given: str, address: tuple[str, int] | None
) -> None:
    assert load_settings(metrics_port=given).metrics_address == address
    monkeypatch.setenv("NST_METRICS_PORT", given)
    assert load_settings().metrics_address == address


@pytest.mark.parametrize("given", ["udp://10.0.0.1:80", "65536", "localhost", ":80", "::1:80", "-1"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    monkeypatch.setenv("NST_METRICS_PORT", given)
    with pytest.raises(UsageError, match=r"^NST_METRICS_PORT: should be PORT or HOST:PORT, as in 9464 or"):
        load_settings()


def test_only_metrics_need_the_extra_and_its_absence_is_reported_in_one_sentence(
    inbox: Path, call_fake: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("prometheus_client")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)  # as if it were not installed
    for name in ("pipeline.events.export", "pipeline.events.metrics"):
        monkeypatch.delitem(sys.modules, name)
    arguments = ("run", inbox / "m.json", "--outbox", tmp_path / "out")
    for option in (("--metrics-file", tmp_path / "nst.prom"), ("--metrics-port", "0")):
        assert call_fake(*arguments, *option) == (
            2,
            "nst-pipeline: metrics need the extra 'serve', which is not installed: "
            "pip install -c constraints.txt '.[serve]' in a checkout\n",
        )
    assert call_fake(*arguments)[0] == 0
