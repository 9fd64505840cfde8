"""Stores to test: a folder, one in memory, a bucket in moto, and a bucket on a real server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from moto import mock_aws

from manifests.demo_s3 import BUCKET
from pipeline.stores.aws import connect
from pipeline.stores.base import Store
from pipeline.stores.folder import FolderStore
from pipeline.stores.memory import MemoryStore
from pipeline.stores.s3 import S3Store


@pytest.fixture(params=["folder", "memory", "moto", "seaweed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """One empty store of each kind."""
    if request.param == "folder":
        yield FolderStore(tmp_path)
    elif request.param == "memory":
        yield MemoryStore("contract")
    elif request.param == "moto":
        with mock_aws():
            client = connect("s3")
            client.create_bucket(Bucket=BUCKET)
            yield S3Store(f"s3://{BUCKET}/some/prefix", client)
    else:
        client = connect("s3", request.getfixturevalue("seaweed"))
        yield S3Store(f"s3://{BUCKET}/{uuid4().hex}/prefix", client)


@pytest.fixture
def client() -> Iterator[Any]:
    """A client of moto, with the bucket "bucket"."""
    with mock_aws():
        client = connect("s3")
        client.create_bucket(Bucket="bucket")
        yield client


@pytest.fixture
def real_store(seaweed: str) -> S3Store:
    """An empty store on a real server."""
    return S3Store(f"s3://bucket/{uuid4().hex}", connect("s3", seaweed))


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders that are listed."""
    folders: list[str] = []
    scandir = os.scandir

    def counting(path: Any) -> Any:
        folders.append(str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    return folders
